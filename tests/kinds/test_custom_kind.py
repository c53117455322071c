"""A kind that is added from outside: one class and one call, and every verb takes its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import Field

from adapterstilts import TrainingOptions, evaluate, predict, train_adapter
from adapterstilts.data.prediction_input import read_inputs
from adapterstilts.data.rows import PairRow
from adapterstilts.errors import ConfigError
from adapterstilts.kinds.base import Encoding, Feature, HeadSpec, Kind
from adapterstilts.kinds.bootstrap import percent
from adapterstilts.kinds.registry import KINDS, default_encoding, register
from adapterstilts.kinds.spec import SPECS, KindSpec
from adapterstilts.kinds.subwords import sequences
from adapterstilts.run.predict import predict_inputs, predicted_form

QUICK = {"batch_size": 8, "learning_rate": 2e-2, "precision": "fp32"}


class OpeningEncoding(Encoding):
    opening: int = Field(6, ge=3, description="Subwords of the text's opening, special tokens included.")


class OpeningKind(Kind[OpeningEncoding]):
    """Labels a text by its opening words alone."""

    spec = KindSpec(
        name="opening", rows="pair", metrics=("accuracy",), pipeline_tag="text-classification",
        hyperparameters={"epochs": 12.0}, labelled=True,
    )  # fmt: skip
    encoding = OpeningEncoding

    def head(self, task):
        return HeadSpec("classification", task.labels)

    def encode(self, rows, task, tokenizer, encoding):
        tokens = sequences(tokenizer, [row.first for row in rows], None, encoding.opening)
        gold = [[task.labels.index(row.label)] if row.label else [] for row in rows]
        return [
            Feature(n, (tokens[n][0],), (tokens[n][1],), np.array(gold[n], np.int32))
            for n in range(len(rows))
        ]

    def loss(self, logits, batch):
        return torch.nn.functional.cross_entropy(logits.float(), batch["labels"].squeeze(1))

    def decode(self, outputs, features, rows, task, encoding):
        best = [task.labels[int(logits.argmax())] for logits in outputs]
        return [{"id": row.id, "label": label} for row, label in zip(rows, best, strict=True)]

    def counts(self, predictions, rows, task, language):
        return np.array(
            [(p["label"] == row.label, 1) for p, row in zip(predictions, rows, strict=True)], float
        )

    def rates(self, sums):
        return {"accuracy": percent(sums[..., 0], sums[..., 1])}


@pytest.fixture(autouse=True)
def kind() -> Iterator[OpeningKind]:
    kind = OpeningKind()
    register(kind)
    yield kind
    del KINDS["opening"], SPECS["opening"]


@pytest.fixture
def task(tmp_path: Path) -> str:
    """A custom task of the kind: whether a text begins with "Anna"."""
    lines = [f"{4 * (name + ' ')}saw cat {n}\t{name}" for n in range(40) for name in ("Anna", "Tom")]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text("\n".join(["text\twho", *lines]) + "\n", encoding="utf-8")
    path = tmp_path / "who.yaml"
    path.write_text(
        "name: who\nkind: opening\nformat: tsv\nlabels: [Anna, Tom]\ncolumns: {first: text, label: who}\n"
        "files: {train: train.tsv, dev: dev.tsv, test: test.tsv}\n",
        encoding="utf-8",
    )
    return str(path)


def test_every_verb_takes_a_new_kind(task: str, tiny_backbone: Path, tmp_path: Path) -> None:
    options = TrainingOptions(backbone=str(tiny_backbone), store=tmp_path / "runs", hyperparameters=QUICK)
    run = train_adapter(task, options)
    assert run.job.encoding == {"max_length": 128, "opening": 6}
    assert run.job.hyperparameters is not None and run.job.hyperparameters.epochs == 12.0
    (evaluation,) = evaluate(run.id, options=options.model_copy(update={"allow_leak": True}))
    assert evaluation.scores == {"en": 100.0}
    assert predict(run.id, [PairRow("1", "Tom Tom Tom Tom saw Anna", None, None)], options) == [
        {"id": "1", "label": "Tom"}
    ]
    inputs = read_inputs(predicted_form(run.id, options), ["Anna Anna Anna Anna saw Tom"], "text")
    assert [prediction["label"] for _, prediction in predict_inputs(run.id, inputs, options)] == ["Anna"]


def test_its_settings_are_its_own(task: str, tiny_backbone: Path, tmp_path: Path) -> None:
    assert default_encoding("opening", {"opening": 4}).model_dump() == {"max_length": 128, "opening": 4}
    with pytest.raises(ConfigError, match="opening has an effect on opening tasks only, not on span"):
        default_encoding("span", {"opening": 4})
    options = TrainingOptions(backbone=str(tiny_backbone), store=tmp_path / "runs", encoding={"stride": 8})
    with pytest.raises(
        ConfigError, match="stride has an effect on span and tagging tasks only, not on opening"
    ):
        train_adapter(task, options)


def test_a_name_is_registered_once(kind: OpeningKind) -> None:
    register(kind)
    with pytest.raises(ConfigError, match="a kind 'opening' is registered already"):
        register(OpeningKind())
