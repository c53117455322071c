"""Summarises the rows of a split for `tasks check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np

from adapterstilts.data.item_digests import Digests, digests, item_text
from adapterstilts.data.rows import ChoiceRow, PairRow, QuestionRow, RetrievalRow, Row, TaggedRow, TextRow


class Lengths(NamedTuple):
    """The shortest, the median and the longest row."""

    minimum: int
    middle: float
    maximum: int


@dataclass(frozen=True)
class Summary:
    """Counts and lengths of rows.

    Attributes:
        labels: Label -> how often, the most frequent first; tags are counted by token.
        words, characters: Lengths of a row's texts in total. Words are separated by white space, or tokens.
        repeated: Rows whose text stood there before.
        trained: Rows whose text is in the training data too.
    """

    rows: int
    labels: Mapping[str, int]
    words: Lengths
    characters: Lengths
    repeated: int
    trained: int

    @staticmethod
    def of(rows: Sequence[Row], training: Digests | None = None) -> Summary:
        """Counts and lengths of at least one row."""
        texts = [_texts(row) for row in rows]
        items = digests(rows)
        labels = Counter(label for row in rows for label in _labels(row))
        return Summary(
            rows=len(rows),
            labels=dict(labels.most_common()),
            words=_lengths([sum(len(text.split()) for text in row_texts) for row_texts in texts]),
            characters=_lengths([sum(map(len, row_texts)) for row_texts in texts]),
            repeated=len(items) - len(np.unique(items)),
            trained=0 if training is None else int(np.isin(items, training).sum()),
        )


def _texts(row: Row) -> tuple[str, ...]:
    return (row.text,) if isinstance(row, RetrievalRow | TextRow) else item_text(row)


def _labels(row: Row) -> Sequence[str]:
    match row:
        case PairRow():
            return [row.label] if row.label else ()
        case TaggedRow():
            return row.tags or ()
        case ChoiceRow():
            return [f"choice {row.label}"] if row.label is not None else ()
        case QuestionRow():
            return ["answered" if row.answers else "no answer"] if row.answers is not None else ()
        case RetrievalRow():
            return [row.side]
        case _:
            return ()


def _lengths(values: Sequence[int]) -> Lengths:
    return Lengths(min(values), median(values), max(values))
