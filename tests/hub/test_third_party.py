"""Adapters that other programs published: with their heads, whatever order these have their labels in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AutoAdapterModel
from transformers import AutoTokenizer

from adapterstilts import Options, compose, evaluate, predict
from adapterstilts.data.rows import PairRow
from adapterstilts.errors import ConfigError
from adapterstilts.hub.publish import write
from adapterstilts.hub.pull import pull
from adapterstilts.hub.third_party import PullHints
from adapterstilts.store import Run
from tests.hub.fake_hub.server import Hub

REPO = "you/nli"
ROWS = [
    PairRow("1", "the cat saw a dog", "a dog is big", None),
    PairRow("2", "Anna took the train", "in Berlin", None),
]
ORDER = ("contradiction", "entailment", "neutral")  # not ours


@pytest.fixture
def theirs(tiny_backbone: Path) -> Any:
    """A model of the `adapters` library with an adapter and a head of random weights."""
    model = AutoAdapterModel.from_pretrained(tiny_backbone)
    model.add_adapter("nli", config="seq_bn")
    return model


def published(
    hub: Hub,
    model: Any,
    folder: Path,
    order: tuple[str, ...] | None = ORDER,
    scale: float = 0.5,
    **settings: Any,
) -> None:
    """Adds a head of random weights, and puts what the library saves on the Hub."""
    names = dict(enumerate(order)) if order else None
    model.add_classification_head("nli", num_labels=3, id2label=names, **settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".adapters.nli." in name or "heads.nli." in name:
                parameter.normal_(std=scale)
    model.save_adapter(str(folder), "nli", use_safetensors=True)
    hub.put("models", REPO, {path.name: path.read_bytes() for path in folder.iterdir()})


def probabilities(model: Any, backbone: Path, order: tuple[str, ...]) -> list[dict[str, float]]:
    model.set_active_adapters("nli")
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    texts = [row.first for row in ROWS], [str(row.second) for row in ROWS]
    with torch.no_grad():
        found = model(**tokenizer(*texts, padding=True, return_tensors="pt"), head="nli").logits.softmax(-1)
    return [dict(zip(order, row.tolist(), strict=True)) for row in found]


def given(backbone: Path, **more: Any) -> PullHints:
    return PullHints(task="mini_nli", backbone=str(backbone), **more)


def of_run(run: Run, backbone: Path) -> list[dict[str, float]]:
    options = Options(store=run.path.parent, backbone=str(backbone), hyperparameters={"precision": "fp32"})
    found = predict(run.id, ROWS, options)
    return [dict(each["probabilities"]) for each in found]


@pytest.mark.parametrize("named", [True, False])
def test_the_head_comes_along_in_our_order(
    named: bool, theirs: Any, me: Path, hub: Hub, tiny_backbone: Path, tmp_path: Path
) -> None:
    published(hub, theirs, tmp_path / "saved", ORDER if named else None)
    labels = () if named else ORDER
    run = pull(REPO, me, given(tiny_backbone, labels=labels))
    for mine, other in zip(
        of_run(run, tiny_backbone), probabilities(theirs, tiny_backbone, ORDER), strict=True
    ):
        assert mine == pytest.approx(other, abs=1e-4)
    assert len({round(value, 3) for value in other.values()}) == 3, "a wrong order would show"


def test_a_head_that_does_not_fit_is_left_out(
    theirs: Any, me: Path, hub: Hub, tiny_backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(hub, theirs, tmp_path / "saved", layers=1)
    run = pull(REPO, me, given(tiny_backbone))
    assert "pulled without its head" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="came without its head"):
        of_run(run, tiny_backbone)
    options = Options(
        store=me,
        backbone=str(tiny_backbone),
        limit=16,
        hyperparameters={"max_steps": 2, "batch_size": 8},
        source="bundled",
    )
    built = compose("mini_paraphrase", "sequential", [run.id], options)
    assert evaluate(built.id, "mini_paraphrase", ("de",), options)[0].scores


def test_it_can_be_published_again_and_says_whose_it_is(
    theirs: Any, me: Path, hub: Hub, tiny_backbone: Path, tmp_path: Path
) -> None:
    published(hub, theirs, tmp_path / "saved")
    run = pull(REPO, me, given(tiny_backbone))
    assert pull(REPO, me, given(tiny_backbone)).id == run.id
    card = write(run.id, "me/nli", tmp_path / "out", me).card
    assert f"trained by others (taken from {REPO})" in card
    assert f"taken from `{REPO}` at commit" in card and "on English data" not in card
    origin = json.loads(run.file("origin.json").read_bytes())
    assert origin["pulled"]["repo"] == REPO


def test_an_adapter_that_changes_nothing_is_named(
    theirs: Any, me: Path, hub: Hub, tiny_backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(hub, theirs, tmp_path / "saved", scale=0.0)
    run = pull(REPO, me, given(tiny_backbone))
    assert run.metrics["effect"]["adapters"] == {"mini_nli": [0.0, 0.0]}
    assert "warning: the adapter 'mini_nli' changes nothing" in capsys.readouterr().err
