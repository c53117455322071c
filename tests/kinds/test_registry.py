"""Which kind a task has, and its default encoding."""

from __future__ import annotations

import pytest

from adapterstilts.errors import ConfigError
from adapterstilts.hyperparameters import hyperparameters_for
from adapterstilts.kinds.base import Kind
from adapterstilts.kinds.registry import KINDS, check_encoding, default_encoding, effective, kind_of
from adapterstilts.kinds.spec import SPECS


def test_every_kind_name_has_its_kind(task_of):
    assert set(KINDS) == set(SPECS)
    assert all(kind.spec is SPECS[name] for name, kind in KINDS.items())
    assert kind_of(task_of("span")).spec.name == "span"


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_as_its_spec_describes_it(name, task_of):
    kind, labels = KINDS[name], ("a", "b") if KINDS[name].spec.labelled else ()
    assert (kind.head(task_of(name, labels)) is not None) == kind.spec.needs_head
    assert ("threshold" in kind.encoding.model_fields) == kind.spec.threshold_from_dev
    hyperparameters_for([name], {})
    if not kind.spec.plain_text:  # all kinds of tasks can be trained together
        assert hyperparameters_for([name, "mlm"], {}).mlm_ratio is not None


def test_defaults_follow_the_reference_protocol():
    assert (default_encoding("span", {}).max_length, default_encoding("span", {}).stride) == (384, 128)
    assert default_encoding("tagging", {}).max_length == 128
    assert default_encoding("span", {"max_length": 256}).max_length == 256


def test_an_unknown_key_names_the_nearest_and_a_bad_value_is_refused():
    with pytest.raises(ConfigError, match="max_length"):
        default_encoding("span", {"max_lenght": 128})
    with pytest.raises(ConfigError, match="pooling"):
        default_encoding("retrieval", {"pooling": "max"})
    with pytest.raises(ConfigError, match="max_length"):
        default_encoding("sequence", {"max_length": 0})


def test_a_setting_that_changes_nothing_is_refused():
    check_encoding(["span", "retrieval"], {"layer": 3, "stride": 64, "max_length": 64})
    with pytest.raises(ConfigError, match="unknown encoding key 'unknown'"):
        check_encoding(["span", "retrieval"], {"unknown": 1})
    with pytest.raises(ConfigError, match="has an effect on span and tagging tasks only, not on choice"):
        default_encoding("choice", {"stride": 64})
    with pytest.raises(ConfigError, match="words has an effect on tagging tasks only, not on choice or span"):
        check_encoding(["span", "choice"], {"words": "written"})
    assert effective(["sequence"], {"layer": 3, "max_length": 64}) == {"max_length": 64}
    assert effective(["sequence"], {"unknown": 3}) == {"unknown": 3}  # to be refused when it is parsed


def test_the_headline_is_the_tasks_metric_or_an_error(task_of):
    assert Kind.headline({"f1": 50, "accuracy": 70.00000049}, task_of("tagging", ("O",))) == {
        "f1": 50.0, "accuracy": 70.0, "score": 50.0,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="em_f1"):
        Kind.headline({"accuracy": 70.0}, task_of("span"))


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_is_plain_json(kind):
    encoding = default_encoding(kind, {})
    assert KINDS[kind].encoding.parse(encoding.model_dump(mode="json")) == encoding
    assert all(field.description for field in KINDS[kind].encoding.model_fields.values())
