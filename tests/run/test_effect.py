"""What a training changed: measured for every kind, kept in the run, said, shown and marked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterstilts import TrainingOptions, compose, train_adapter
from adapterstilts.composition import Average, Fuse, Single, Stack
from adapterstilts.data.rows import Answer, ChoiceRow, PairRow, QuestionRow, TaggedRow, TextRow
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.kinds.registry import default_encoding, kind_of
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.host import Host
from adapterstilts.run.effect import COMPARED, PREDICTED, _spread, measure
from adapterstilts.run.host_cache import fresh_host
from adapterstilts.run.sampling import TrainingSchedule
from adapterstilts.run.training_data import TaskData
from adapterstilts.store import Effect, Run
from tests.kinds.conftest import task_of  # noqa: F401 (a fixture)
from tests.model.conftest import add, spec_of

LABELS = {"sequence": ("yes", "no"), "tagging": ("O", "B-PER")}


def row(kind: str, n: int) -> Any:
    """Row n: two kinds of rows take turns, so that there is more than one gold class."""
    text, odd = f"Anna saw {'a dog' if n % 2 else 'the red cat'} in Paris", n % 2
    match kind:
        case "sequence":
            return PairRow(str(n), text, "Tom was in Berlin", LABELS["sequence"][odd])
        case "tagging":
            return TaggedRow(str(n), tuple(text.split()), ("B-PER", *["O"] * (len(text.split()) - 1)))
        case "choice":
            return ChoiceRow(str(n), text, ("he was there", "she was not there"), odd)
        case "span":
            answer = "Anna" if odd else "Paris"
            return QuestionRow(str(n), "who saw it", text, (Answer(answer, text.index(answer)),))
    return TextRow(str(n), f"{text} {text}")


@pytest.fixture
def host(tiny_backbone: Path) -> Iterator[Host]:
    host = fresh_host(BackboneFiles.locate(str(tiny_backbone)))
    yield host
    host.reset()


@pytest.fixture
def stream(host: Host, task_of: Callable[..., Any]) -> Callable[..., TaskData]:  # noqa: F811
    """Makes a stream over an adapter `t`, with a head named after the kind."""

    def make(name: str, dev: int = 10, train: int = 6) -> TaskData:
        task = task_of(name, LABELS.get(name, ())).model_copy(update={"name": name})
        kind = kind_of(task)
        spec = kind.head(task)
        assert spec is not None
        host.add_head(name, spec, seed=1)
        rows = [row(name, n) for n in range(train + dev)]
        data = TaskData(task, default_encoding(task.kind, {}), tuple(rows[:train]), tuple(rows[train:]))
        host.activate(ActiveAdapters(target="t", head=name), train=False)
        features = kind.encode(data.train, task, host.tokenizer, data.encoding)
        return replace(data, features=features)

    return make


def freeze_head(host: Host, name: str) -> None:
    """Makes a head say the same of every input: of label, tag or subword 1 that it is the likeliest."""
    for key, tensor in host.model.heads[name].state_dict().items():
        tensor.zero_()
        if key.endswith("bias") and tensor.numel() > 1 and name in ("sequence", "tagging", "mlm"):
            tensor[1] = 1.0


def measured(host: Host, *data: TaskData) -> Effect:
    adapters = ActiveAdapters(target="t", head=data[0].task.name if data else None)
    settings = Hyperparameters(precision="fp32")
    schedule = TrainingSchedule(host, adapters, data, settings, 1, Path()) if data else None
    effect = Effect.of({"effect": json.loads(json.dumps(measure(host, adapters, schedule)))})
    assert effect is not None
    return effect


KINDS = ("sequence", "tagging", "choice", "span", "mlm")


@pytest.mark.parametrize("name", KINDS)
def test_a_head_of_any_kind_that_always_predicts_one_class(
    host: Host, stream: Callable[..., TaskData], name: str
) -> None:
    add(host, "t")
    made = stream(name)
    freeze_head(host, name)
    effect = measured(host, made)
    head = effect.heads[name]
    assert head.constant and head.share == 1 and head.development and effect.inert and not effect.idle
    assert head.majority == (1 if name in LABELS or name == "mlm" else 0)
    assert head.gold_share == {"sequence": 0.5, "choice": 0.5}.get(name, head.gold_share) < 1
    assert head.predictions == 10 or name in ("tagging", "mlm")


@pytest.mark.parametrize("name", KINDS)
def test_an_adapter_that_changes_nothing(host: Host, stream: Callable[..., TaskData], name: str) -> None:
    host.add_adapter("t", spec_of("lora"), seed=1)
    made = stream(name)
    for tensor in host.model.heads[name].state_dict().values():
        tensor.add_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(5)))
    effect = measured(host, made)
    assert effect.idle == ("t",) and effect.adapters["t"] == (0.0, 0.0)
    assert effect.examples == 10
    again = measured(host, made)
    assert again == effect, "nothing is drawn"


def test_rows_are_few_and_evenly_spread(host: Host, stream: Callable[..., TaskData]) -> None:
    assert _spread(range(10), 4) == [0, 2, 5, 7] and _spread("ab", 4) == ["a", "b"]
    add(host, "t")
    made = stream("sequence", dev=90)
    ordered = sorted(made.dev, key=lambda each: str(each.label))  # type: ignore[union-attr]
    effect = measured(host, replace(made, dev=tuple(ordered)))
    assert effect.heads["sequence"].predictions == PREDICTED and effect.examples == COMPARED
    assert effect.heads["sequence"].gold_share == 0.5, "rows of both labels, although they are sorted"


def test_training_rows_where_there_are_no_others(host: Host, stream: Callable[..., TaskData]) -> None:
    add(host, "t")
    made = stream("sequence", dev=0)
    effect = measured(host, made)
    assert not effect.heads["sequence"].development and effect.heads["sequence"].predictions == 6


def test_several_tasks_have_a_head_each(host: Host, stream: Callable[..., TaskData]) -> None:
    add(host, "t")
    streams = [stream(name) for name in ("sequence", "tagging", "choice")]
    freeze_head(host, "tagging")
    effect = measured(host, *streams)
    assert list(effect.adapters) == ["t"] and effect.examples == 15
    assert list(effect.heads) == ["sequence", "tagging", "choice"]
    assert effect.heads["tagging"].constant and effect.heads["tagging"].majority == 1


def test_without_data_or_without_adapters(host: Host) -> None:
    assert measure(host, ActiveAdapters()) == {}
    add(host, "t")
    effect = measured(host)
    assert effect.examples == 4 and effect.heads == {} and not effect.inert


QUICK = {"max_steps": 2, "batch_size": 8, "dev_rows": 30, "precision": "fp32"}


@pytest.fixture(scope="module")
def options(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    store = tmp_path_factory.mktemp("runs")
    return TrainingOptions(
        backbone=str(tiny_backbone), store=store, source="bundled", limit=60, hyperparameters=QUICK
    )


@pytest.fixture(scope="module")
def untrained(options: TrainingOptions) -> Run:
    """A LoRA that hardly trained, so that it changes nothing."""
    hyperparameters = {**QUICK, "learning_rate": 1e-12}
    return train_adapter(
        "mini_nli", options.model_copy(update={"config": "lora", "hyperparameters": hyperparameters})
    )


def test_a_training_says_what_it_changed_and_keeps_it(
    options: TrainingOptions, untrained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    hyperparameters = {**QUICK, "learning_rate": 1e-12}
    same = train_adapter(
        "mini_nli", options.model_copy(update={"config": "lora", "hyperparameters": hyperparameters})
    )
    said = capsys.readouterr().err
    assert "is finished already" in said and same.id == untrained.id
    nothing = "warning: the adapter 'mini_nli' changes nothing: hidden states differ by 0.00 % (layers 1-2)"
    assert nothing in said
    trained = train_adapter("mini_ner", options)
    said = capsys.readouterr().err
    assert "the adapter 'mini_ner' changes the hidden states by " in said and "the head of mini_ner " in said
    assert untrained.metrics["effect"]["adapters"] == {"mini_nli": [0.0, 0.0]}
    assert untrained.metrics["effect"]["heads"]["mini_nli"]["predictions"] == 30
    assert min(trained.metrics["effect"]["adapters"]["mini_ner"]) > 0.001


def test_compositions_are_measured_part_by_part(options: TrainingOptions, untrained: Run) -> None:
    source = train_adapter("mini_ner", options)
    stacked = compose("mini_paraphrase", Stack(untrained.id), options)
    effect = Effect.of(stacked.metrics)
    assert effect is not None and len(effect.adapters) == 2
    assert effect.idle == (f"mini_nli_{untrained.key[:8]}",), "the LoRA below does nothing"
    other = train_adapter("mini_qa", options)
    fused = compose("mini_paraphrase", Fuse(source.id, other.id), options)
    assert list(fused.metrics["effect"]["adapters"]) == ["fusion"]
    several = train_adapter("mini_nli+mini_qa", options)
    assert sorted(several.metrics["effect"]["heads"]) == ["mini_nli", "mini_qa"]
    merged = compose("mini_retrieval", Average(source.id, other.id), options)
    assert merged.metrics["effect"]["examples"] == 4 and merged.metrics["effect"]["heads"] == {}
    bare = compose("mini_retrieval", Single(), options)
    assert "effect" not in bare.metrics
