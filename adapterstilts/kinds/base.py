"""What a kind of task is: the one protocol behind which pair classification and question answering differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, SupportsFloat

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from transformers import PreTrainedTokenizerFast

from adapterstilts.errors import ConfigError, DataError
from adapterstilts.tasks.spec import Task
from adapterstilts.values import Numbers

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float64]
Prediction = dict[str, Any]  # one per row, JSON values only; always holds "id"
Classes = tuple[Ints, Ints]  # numbers of the classes that a head chose, and of the gold classes
Metrics = dict[str, float]  # in percent; always holds "score", the task's headline metric


UNSETTLED = (("words", "auto"), ("threshold", None), ("context", False))


class Encoding(Numbers):
    """How text becomes subwords; part of every key.

    Attributes:
        max_length: subwords of one sequence, special tokens counted; a model that takes fewer sets the limit.
        stride: subwords that neighbouring windows share, at most half of a context's window (span) and a
            quarter of `max_length` (tagging).
        words: what a word's subwords are made from (tagging): the word alone ("separate"), or the sentence
            as it is written ("written"); "auto" is settled by language before a job is made.
        n_best, max_answer: candidate spans kept per question; longest answer in subwords (span).
        null_threshold: SQuAD v2: predict no answer if null score - best span score exceeds it.
        layer: hidden layer that sentence embeddings are read from (retrieval); -1 is the last,
            0 the embeddings.
        pooling: sentence embedding (retrieval): "mean" over non-special tokens, "mean_all" over all
            non-padding tokens, "cls" the first token.
        similarity, neighbours: how embeddings are compared, and k of the margin (retrieval; mining always
            compares by margin).
        context: a candidate is read together with the paragraph that it stands in (retrieval).
        threshold: the margin from which on a pair is a translation (mining); None is the one of best F1 on
            development data, or on the evaluated rows where these are development data.
    """

    max_length: int = Field(128, ge=8)
    stride: int = Field(128, ge=0)
    words: Literal["auto", "separate", "written"] = "auto"
    n_best: int = Field(20, ge=1)
    max_answer: int = Field(30, ge=1)
    null_threshold: float = 0.0
    layer: int = -1
    pooling: Literal["mean", "mean_all", "cls"] = "mean"
    similarity: Literal["cosine", "margin"] = "cosine"
    neighbours: int = Field(4, ge=1)
    context: bool = False
    threshold: float | None = None

    @model_serializer(mode="wrap")
    def _settled(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what nothing settled: kinds that do not ask for it have no such key."""
        found: dict[str, Any] = serialize(self)
        return {name: value for name, value in found.items() if (name, value) not in UNSETTLED}


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """The prediction head that a kind needs: what the host builds."""

    kind: Literal["classification", "tagging", "span", "choice", "mlm"]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feature:
    """One model input made from one row (a long row makes several).

    Attributes:
        row: index of its row.
        ids: token ids, one array [length] per sequence (a choice feature has one per choice, else one).
        types: token type ids, parallel to `ids`.
        target: what is to be predicted, in the kind's own form; empty where there is no label.
        align: the kind's own map from subwords back to the row; see each kind.
    """

    row: int
    ids: tuple[Ints, ...]
    types: tuple[Ints, ...]
    target: Ints
    align: Ints = field(default_factory=lambda: np.empty(0, np.int32))

    @property
    def length(self) -> int:
        """Longest sequence, in subwords: what batches are bucketed by."""
        return max(len(ids) for ids in self.ids)


Batch = dict[str, torch.Tensor]  # input_ids, attention_mask, token_type_ids [N, L], labels (kind's own form)


class Kind(Protocol):
    """Everything that differs between kinds; one module-level instance each, without state.

    `rows` are canonical rows (`data/rows.py`) of the kind's own type.
    """

    name: str

    def head(self, task: Task) -> HeadSpec | None:
        """The head that this task needs; None for retrieval."""

    def encode(
        self, rows: Sequence[Any], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """Rows to features, in row order; every row has at least one feature."""

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Features to one padded batch on the CPU; `labels` only if all features have a target."""

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean loss of the batch, a scalar.

        `logits` as the host gives them:
        sequence [N, classes]; tagging [N, L, classes]; span [N, L, 2] (start, end); choice [N] flat,
        one score per sequence, `batch["labels"]` [F, 2] telling how they group (choices, gold index).
        """

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """One float32 array per feature, cut to the feature's own length."""

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """What the head chose and what is right, as class numbers, one for each choice that it made.

        The classes are labels, tags, choices, positions in the window (span) or subwords (mlm). Both arrays
        are empty where nothing is classified.
        """

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[Any],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """One prediction per row, in row order."""

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[Any], task: Task, language: str
    ) -> Counts:
        """What each example adds to the sums that its metrics are computed from [examples, k]."""

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """The metrics in percent [...] of such sums [..., k]; a task's headline metric is among them."""

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[Any], task: Task, language: str
    ) -> Metrics:
        """Metrics in percent against the rows' gold: the rates of all counts together."""


def pad_batch(features: Sequence[Feature], pad: int) -> Batch:
    """Pads all sequences of the features to the longest: ids, mask and types [N, L]."""
    ids = [sequence for feature in features for sequence in feature.ids]
    types = [sequence for feature in features for sequence in feature.types]
    shape = (len(ids), max(len(sequence) for sequence in ids))
    batch = {
        "input_ids": torch.full(shape, pad, dtype=torch.long),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
        "token_type_ids": torch.zeros(shape, dtype=torch.long),
    }
    for n, (sequence, kind) in enumerate(zip(ids, types, strict=True)):
        length = len(sequence)
        batch["input_ids"][n, :length] = torch.from_numpy(sequence)
        batch["token_type_ids"][n, :length] = torch.from_numpy(kind)
        batch["attention_mask"][n, :length] = 1
    return batch


def attach(batch: Batch, targets: Sequence[Ints]) -> Batch:
    """Adds `labels` [F, ...], the targets stacked, if every feature has one; they have the same length."""
    if targets and all(len(target) for target in targets):
        batch["labels"] = torch.from_numpy(np.stack(targets)).long()
    return batch


def cut(logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
    """[N, L, ...] to one float32 array [length, ...] per feature, without the padding."""
    arrays = logits.detach().float().cpu().numpy()
    return [array[: feature.length].copy() for array, feature in zip(arrays, features, strict=True)]


def joined(parts: Sequence[npt.NDArray[Any]]) -> Ints:
    """All numbers of the arrays, one after another, as integers."""
    whole = np.concatenate(parts) if parts else np.empty(0)
    return whole.astype(np.int32)


def headline(metrics: Mapping[str, SupportsFloat], task: Task) -> Metrics:
    """Plain rounded floats, the same on every read, with "score" taken from the task's metric.

    Raises:
        ConfigError: the task is scored by a metric that its kind does not have.
    """
    if task.metric not in metrics:
        known = ", ".join(sorted(metrics))
        raise ConfigError(
            f"{task.name} is scored by '{task.metric}', which a {task.kind} task lacks: {known}"
        )
    full = {**metrics, "score": metrics[task.metric]}
    return {name: round(float(value), 6) for name, value in full.items()}


def gold_of(values: Sequence[Any], rows: Sequence[Any]) -> list[Any]:
    """The gold `values` of the rows, refusing what cannot be scored.

    Raises:
        DataError: there are no rows, or one has no gold value (a split with hidden labels).
    """
    if not rows:
        raise DataError("there are no rows to score")
    for value, row in zip(values, rows, strict=True):
        if value is None:
            raise DataError(f"row {row.id} has no gold label: a split with hidden labels cannot be scored")
    return list(values)
