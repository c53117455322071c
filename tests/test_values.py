"""Frozen values: unknown keys, canonical JSON, recipes, compositions and keys."""

import pytest

from adapterstilts import composition
from adapterstilts.errors import AdapterError, ConfigError, unknown
from adapterstilts.hyperparameters import Hyperparameters, hyperparameters_for
from adapterstilts.job import EvalJob, TrainJob
from adapterstilts.model import compatibility
from adapterstilts.values import canonical, digest


def test_unknown_recipe_key_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        Hyperparameters.parse({"learning_rat": 1e-3}, "hyperparameters")


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": -1}, {"warmup": 1.5}, {"precision": "fp8"}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Hyperparameters.parse(wrong, "hyperparameters")


def test_recipe_defaults_depend_on_kind():
    assert hyperparameters_for(["span"], {}).batch_size == 16
    assert hyperparameters_for(["span"], {"batch_size": 4}).batch_size == 4


def test_unknown_error_without_a_near_name_lists_all():
    assert str(unknown("task", "zzz", ["b", "a"])) == "unknown task 'zzz': Known: a, b"


def test_canonical_json_is_independent_of_order():
    assert canonical({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def job(**changes):
    values = {
        "task": "mnli", "task_version": 1, "backbone": "sha256:00", "data": {"train": "1", "dev": ""},
        "encoding": {}, "adapter": {}, "hyperparameters": Hyperparameters(),
        "composition": composition.Single(),
    }  # fmt: skip
    return TrainJob(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"task_version": 2},
        {"backbone": "sha256:01"},
        {"data": {"train": "2", "dev": ""}},
        {"hyperparameters": Hyperparameters(learning_rate=2e-3)},
        {"composition": composition.Sequential(sources=("k",))},
        {"seed": 2},
        {"encoding": {"max_length": 64}},
        {"language_adapter": "d"},
    ],
)
def test_everything_that_changes_a_result_changes_the_key(changes):
    assert job(**changes).key != job().key
    assert job().key == job().key


def test_evaluation_key_depends_on_language_and_run():
    values = {
        "run": "a", "task": "xnli", "task_version": 1, "split": "test", "language": "de", "backbone": "b",
        "data": "c", "encoding": {}, "precision": "fp32",
    }  # fmt: skip
    first = EvalJob(**values)
    assert (
        len({first.key, EvalJob(**{**values, "language": "fr"}).key, EvalJob(**{**values, "run": "b"}).key})
        == 3
    )


def test_composition_sizes():
    with pytest.raises(ConfigError):
        composition.make("fuse", ("a",))
    with pytest.raises(ConfigError):
        composition.make("fuse", tuple("abcdefghij"))
    with pytest.raises(ConfigError, match="twice"):
        composition.make("fuse", ("a", "a"))
    with pytest.raises(ConfigError):
        composition.make("sequential", ("a", "b"))
    assert composition.make("fuse", tuple("abcdefghi")).fuses


def test_average_weights():
    assert composition.make("average", ("a", "b")).start == (0.5, 0.5)
    assert composition.make("average", ("a", "b"), (0.7, 0.3)).start == (0.7, 0.3)
    with pytest.raises(ConfigError, match="sum to 1"):
        composition.make("average", ("a", "b"), (0.7, 0.7))
    with pytest.raises(ConfigError, match="weights"):
        composition.make("average", ("a", "b"), (1.0,))
    with pytest.raises(ConfigError, match="weights belong"):
        composition.make("stack", ("a",), (1.0,))


@pytest.mark.parametrize("method", ["lora", "prefix_tuning"])
def test_fusion_of_unfusable_methods_is_refused_with_what_works_instead(method):
    with pytest.raises(AdapterError, match="stack, sequential or average"):
        compatibility._check_methods(composition.make("fuse", ("a", "b")), ("bottleneck", method))


@pytest.mark.parametrize("kind", ["fuse", "average"])
def test_the_same_adapter_is_not_joined_to_itself(kind: composition.CompositionName) -> None:
    with pytest.raises(ConfigError, match=f"{kind}: the same adapter is listed twice"):
        composition.make(kind, ("a", "b", "a"))
