"""Classification of a sentence or a pair of sentences (NLI, paraphrase)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import softmax
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import PairRow
from adapterstilts.errors import unknown
from adapterstilts.kinds.base import (
    Batch,
    Classes,
    Counts,
    Encoding,
    Feature,
    Floats,
    HeadSpec,
    Ints,
    Kind,
    Prediction,
)
from adapterstilts.kinds.bootstrap import percent
from adapterstilts.kinds.spec import SPECS
from adapterstilts.kinds.subwords import sequences
from adapterstilts.tasks.spec import Task


class _SequenceKind(Kind[Encoding]):
    """One label for one sequence. A feature is a row; its target [1] is the label's index."""

    spec = SPECS["sequence"]
    encoding = Encoding

    def head(self, task: Task) -> HeadSpec:
        """Returns a classifier over the task's labels."""
        return HeadSpec("classification", task.labels)

    def encode(
        self, rows: Sequence[PairRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """Returns one feature per row; a pair that is too long loses subwords of its longer side.

        Raises:
            ConfigError: A label that the task does not have.
        """
        length = encoding.limit(tokenizer)
        features: dict[int, Feature] = {}
        # One tokenizer call takes either pairs or single texts.
        for pair in (True, False):
            numbers = [n for n, row in enumerate(rows) if (row.second is not None) == pair]
            texts = [rows[n].first for n in numbers]
            pairs = [rows[n].second or "" for n in numbers] if pair else None
            for n, (ids, types) in zip(numbers, sequences(tokenizer, texts, pairs, length), strict=True):
                features[n] = Feature(n, (ids,), (types,), _target(rows[n], task))
        return [features[n] for n in range(len(rows))]

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Returns the cross-entropy; `logits` [F, classes]."""
        # In float32 also under autocast: bf16 has too few digits for the sum of exponentials.
        return torch.nn.functional.cross_entropy(logits.float(), batch["labels"].squeeze(1))

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Returns indices of labels, one for each row."""
        predicted = np.array([logits.argmax() for logits in outputs], np.int32)
        return predicted, Kind.as_ints([feature.target for feature in features])

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[PairRow],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """Returns `{"id", "label", "probabilities": {label: p}}` per row."""
        predictions = []
        for row, logits in zip(rows, outputs, strict=True):
            chances = softmax(np.asarray(logits, np.float64))
            predictions.append(
                {
                    "id": row.id,
                    "label": task.labels[int(chances.argmax())],
                    "probabilities": {
                        label: round(float(p), 6) for label, p in zip(task.labels, chances, strict=True)
                    },
                }
            )
        return predictions

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[PairRow], task: Task, language: str
    ) -> Counts:
        """Returns for every label whether it is right, predicted, and gold [rows, 3 * labels]."""
        one_hot = np.eye(len(task.labels))
        gold = one_hot[
            [task.labels.index(label) for label in Kind.gold_of([row.label for row in rows], rows)]
        ]
        predicted = one_hot[[task.labels.index(prediction["label"]) for prediction in predictions]]
        return np.concatenate([gold * predicted, predicted, gold], axis=1)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes accuracy, and F1 averaged over the labels that occur ("macro_f1")."""
        hits, predicted, gold = np.split(sums, 3, axis=-1)
        f1 = percent(2 * hits, predicted + gold)
        # A label that is neither predicted nor gold has no F1; scikit-learn ignores it as well.
        return {
            "accuracy": percent(hits.sum(axis=-1), gold.sum(axis=-1)),
            "macro_f1": f1.sum(axis=-1) / ((predicted + gold) > 0).sum(axis=-1),
        }


def _target(row: PairRow, task: Task) -> Ints:
    if row.label is None:
        return np.empty(0, np.int32)
    if row.label not in task.labels:
        raise unknown(f"label of row {row.id} in {task.name}", row.label, task.labels)
    return np.array([task.labels.index(row.label)], np.int32)


KIND = _SequenceKind()
