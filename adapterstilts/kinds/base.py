"""What a kind of task is: the base class behind which pair classification and question answering differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Self, SupportsFloat, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.prediction_input import Input
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.kinds.spec import KindSpec
from adapterstilts.tasks.spec import Task
from adapterstilts.values import Numbers

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float64]
Prediction = dict[str, Any]  # one per row, JSON values only; always holds "id"
Classes = tuple[Ints, Ints]  # numbers of the predicted and of the gold classes
Metrics = dict[str, float]  # in percent; always holds "score", the task's headline metric


LONGEST = 1_000_000  # subwords or candidates; far beyond any encoder, and within every integer type


class Encoding(Numbers):
    """How text becomes subwords; part of every key. Kinds with further settings have a subclass."""

    max_length: int = Field(
        128,
        ge=8,
        le=LONGEST,
        description="Subwords of one sequence, special tokens included; the model's own limit applies too.",
    )

    def limit(self, tokenizer: PreTrainedTokenizerFast) -> int:
        """Returns the subwords that one sequence may have: the setting, or less if the model takes less."""
        # Tokenizers without a limit report an astronomically large one.
        return min(self.max_length, int(tokenizer.model_max_length))

    def for_language(self, language: str) -> Self:
        """Returns the encoding with settings that depend on the language resolved."""
        return self

    def inherited(self) -> dict[str, Any]:
        """Returns the settings of a training that its evaluations and predictions take over."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """The prediction head that a task needs, which the host builds."""

    kind: Literal["classification", "tagging", "span", "choice", "mlm"]
    labels: tuple[str, ...] = ()

    @property
    def training_only(self) -> bool:
        """Whether it is discarded after training, since nothing is predicted with it."""
        return self.kind == "mlm"


@dataclass(frozen=True, slots=True)
class Feature:
    """One model input made from one row (a long row makes several).

    Attributes:
        row: Index of its row.
        ids: Token ids, one array [length] per sequence. Choice features have one per choice, all others one.
        types: Token type ids, parallel to `ids`.
        target: Gold labels in a form that the kind defines; empty if the row has none.
        align: Map from subwords back to the row, in a form that the kind defines.
    """

    row: int
    ids: tuple[Ints, ...]
    types: tuple[Ints, ...]
    target: Ints
    align: Ints = field(default_factory=lambda: np.empty(0, np.int32))

    @property
    def length(self) -> int:
        """Subwords of the longest sequence; batches are bucketed by it."""
        return max(len(ids) for ids in self.ids)


Augmentation = Callable[[Sequence[Feature], Sequence[int]], Sequence[Feature]]  # features, seed
Batch = dict[str, torch.Tensor]  # input_ids, attention_mask, token_type_ids [N, L], labels

E = TypeVar("E", bound=Encoding)


class Kind(ABC, Generic[E]):
    """Everything that differs between kinds; one instance each, without state.

    A new kind is a subclass that is passed to `registry.register`. `rows` are canonical rows
    (`data/rows.py`) of the form that `spec.rows` names.

    Attributes:
        spec: Properties that planning needs without loading torch.
        encoding: Class of its encoding settings.
    """

    spec: KindSpec
    encoding: type[E]

    def head(self, task: Task) -> HeadSpec | None:
        """Returns the head that the task needs; None for kinds that compare embeddings."""
        return None

    @abstractmethod
    def encode(
        self, rows: Sequence[Any], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: E
    ) -> list[Feature]:
        """Returns features in row order; every row has at least one."""

    def dynamic_masking(self, tokenizer: PreTrainedTokenizerFast) -> Augmentation | None:
        """Returns what changes a training batch at each step; None where batches stay as encoded."""
        return None

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Pads features to one batch on the CPU; `labels` [F, ...] only if every feature has a target."""
        batch, targets = Kind.pad_batch(features, pad), [feature.target for feature in features]
        if targets and all(len(target) for target in targets):
            batch["labels"] = torch.from_numpy(np.stack(targets)).long()
        return batch

    @abstractmethod
    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Returns the batch's mean loss, a scalar; `logits` are what `Host.forward` returns for the head."""

    def embed(
        self,
        hidden: Callable[[int], torch.Tensor],
        batch: Batch,
        tokenizer: PreTrainedTokenizerFast,
        encoding: E,
    ) -> torch.Tensor:
        """Returns one vector per sequence [N, H]; used by kinds without a head.

        Args:
            hidden: Hidden states [N, L, H] of the batch at a layer.
        """
        raise NotImplementedError(f"{self.spec.name} tasks are answered by a head")

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """Splits a batch's outputs into one float32 array per feature; by default its row of [F, ...]."""
        return list(logits.detach().float().cpu().numpy())

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Returns predicted and gold classes as numbers, one for each decision of the head.

        The classes are labels, tags, choices, positions in the window (span) or subwords (mlm). Both arrays
        are empty where nothing is classified.
        """
        return np.empty(0, np.int32), np.empty(0, np.int32)

    @abstractmethod
    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[Any],
        task: Task,
        encoding: E,
    ) -> list[Prediction]:
        """Returns one prediction per row (retrieval and mining: per query), in row order."""

    def locate(self, item: Input, prediction: Prediction, task: Task) -> Prediction:
        """Returns a prediction for a user's text with character offsets added, where the kind has any."""
        return prediction

    @abstractmethod
    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[Any], task: Task, language: str
    ) -> Counts:
        """Returns each example's contribution to the sums that metrics are computed from [examples, k]."""

    @abstractmethod
    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes metrics in percent [...] from sums [..., k]; the task's headline metric is among them."""

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[Any], task: Task, language: str
    ) -> Metrics:
        """Returns metrics in percent against the rows' gold labels: the rates of the summed counts."""
        return Kind.headline(self.rates(self.counts(predictions, rows, task, language).sum(axis=0)), task)

    @staticmethod
    def cut(logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """Splits [N, L, ...] into one float32 array [length, ...] per feature, without the padding."""
        arrays = logits.detach().float().cpu().numpy()
        # Copies, since a view would keep the whole padded batch in memory.
        return [array[: feature.length].copy() for array, feature in zip(arrays, features, strict=True)]

    @staticmethod
    def as_ints(parts: Sequence[npt.NDArray[Any]]) -> Ints:
        """Concatenates arrays into one of integers; no parts give an empty one."""
        return (np.concatenate(parts) if parts else np.empty(0)).astype(np.int32)

    @staticmethod
    def headline(metrics: Mapping[str, SupportsFloat], task: Task) -> Metrics:
        """Returns rounded floats, with "score" taken from the task's metric.

        Raises:
            ConfigError: The task is scored by a metric that its kind does not have.
        """
        if task.metric not in metrics:
            raise ConfigError(
                f"{task.name} is scored by '{task.metric}', which a {task.kind} task lacks: use one of "
                f"{', '.join(sorted(metrics))}"
            )
        # Six digits hide differences in the order of summation between platforms.
        full = {**metrics, "score": metrics[task.metric]}
        return {name: round(float(value), 6) for name, value in full.items()}

    @staticmethod
    def gold_of(values: Sequence[Any], rows: Sequence[Any]) -> list[Any]:
        """Returns the gold `values` of the rows; refuses rows that cannot be scored.

        Raises:
            DataError: There are no rows, or one has no gold value (a split with hidden labels).
        """
        if not rows:
            raise DataError("there are no rows to score")
        for value, row in zip(values, rows, strict=True):
            if value is None:
                raise DataError(
                    f"row {row.id} has no gold label: a split with hidden labels cannot be scored"
                )
        return list(values)

    @staticmethod
    def pad_batch(features: Sequence[Feature], pad: int) -> Batch:
        """Returns ids, mask and types [N, L] of all sequences, padded to the longest."""
        ids = [sequence for feature in features for sequence in feature.ids]
        types = [sequence for feature in features for sequence in feature.types]
        shape = (len(ids), max(len(sequence) for sequence in ids))
        batch = {
            "input_ids": torch.full(shape, pad, dtype=torch.long),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "token_type_ids": torch.zeros(shape, dtype=torch.long),
        }
        for n, (sequence, sequence_types) in enumerate(zip(ids, types, strict=True)):
            length = len(sequence)
            batch["input_ids"][n, :length] = torch.from_numpy(sequence)
            batch["token_type_ids"][n, :length] = torch.from_numpy(sequence_types)
            batch["attention_mask"][n, :length] = 1
        return batch
