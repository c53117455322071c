"""Multiple choice: the likeliest continuation of a prompt, or answer to a question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import softmax
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import ChoiceRow
from adapterstilts.errors import DataError
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
from adapterstilts.kinds.subwords import Template, Tokens, pieces
from adapterstilts.tasks.spec import Task


class _ChoiceKind(Kind[Encoding]):
    """One of several choices, each scored as the pair (prompt, choice).

    A feature is a row with one sequence per choice. Its target [2] is (number of choices, gold index). A
    batch's labels therefore show how its scores are grouped, so rows with different numbers of choices mix.
    """

    spec = SPECS["choice"]
    encoding = Encoding

    def head(self, task: Task) -> HeadSpec:
        """Returns a head with one score per sequence."""
        return HeadSpec("choice")

    def encode(
        self, rows: Sequence[ChoiceRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """Returns one feature per row; a pair that is too long loses the *start* of its prompt.

        Raises:
            DataError: A row without choices, or a gold index out of range.
        """
        template, length = Template.of(tokenizer, pair=True), encoding.limit(tokenizer)
        texts = [row.prompt for row in rows] + [choice for row in rows for choice in row.choices]
        subwords = pieces(tokenizer, texts)
        features = []
        for number, row in enumerate(rows):
            target = _target(row)
            prompt = subwords[row.prompt].ids
            pairs = [_pair(prompt, subwords[choice].ids, template, length) for choice in row.choices]
            ids, types = zip(*pairs, strict=True)
            features.append(Feature(number, ids, types, target))
        return features

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Returns the cross-entropy over the choices of each row; `logits` [N], all choices in a row."""
        counts, gold = batch["labels"].unbind(1)
        groups = torch.split(logits.float(), counts.tolist())
        # Rows with fewer choices are padded with -inf, which has no probability and no gradient.
        padded = torch.nn.utils.rnn.pad_sequence(list(groups), batch_first=True, padding_value=-torch.inf)
        return torch.nn.functional.cross_entropy(padded, gold)

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """Splits scores [N] into one array [choices] per feature."""
        counts = [len(feature.ids) for feature in features]
        return [part.numpy().copy() for part in torch.split(logits.detach().float().cpu(), counts)]

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Returns indices of choices, one for each row."""
        predicted = np.array([scores.argmax() for scores in outputs], np.int32)
        return predicted, Kind.as_ints([feature.target[1:] for feature in features])

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[ChoiceRow],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """Returns `{"id", "choice": index, "probabilities": [p per choice]}` per row."""
        predictions = []
        for row, scores in zip(rows, outputs, strict=True):
            chances = softmax(np.asarray(scores, np.float64))
            predictions.append(
                {
                    "id": row.id,
                    "choice": int(chances.argmax()),
                    "probabilities": [round(float(p), 6) for p in chances],
                }
            )
        return predictions

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[ChoiceRow], task: Task, language: str
    ) -> Counts:
        """Returns whether the choice is right, and 1 [rows, 2]."""
        gold = Kind.gold_of([row.label for row in rows], rows)
        return np.array(
            [(row["choice"] == label, 1) for row, label in zip(predictions, gold, strict=True)], np.float64
        )

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes accuracy."""
        return {"accuracy": percent(sums[..., 0], sums[..., 1])}


def _pair(prompt: Ints, choice: Ints, template: Template, length: int) -> Tokens:
    """Builds one sequence: the choice is kept, and the end of the prompt, where the question is."""
    budget = length - template.size
    choice = choice[:budget]  # only a choice longer than the model's limit is truncated
    room = budget - len(choice)
    return template.build(prompt[max(len(prompt) - room, 0) :], choice)


def _target(row: ChoiceRow) -> Ints:
    if not row.choices:
        raise DataError(f"row {row.id} has no choices")
    if row.label is None:
        return np.empty(0, np.int32)
    if not 0 <= row.label < len(row.choices):
        raise DataError(f"row {row.id}: gold choice {row.label}, but there are {len(row.choices)} choices")
    return np.array([len(row.choices), row.label], np.int32)


KIND = _ChoiceKind()
