"""The same rows have the same fingerprint; a subsample is the same everywhere."""

from __future__ import annotations

import hashlib

import pytest

from adapterstilts.data.fingerprint import fingerprint, subsample
from adapterstilts.data.rows import (
    Answer,
    ChoiceRow,
    PairRow,
    QuestionRow,
    RetrievalRow,
    Row,
    TaggedRow,
    as_json,
)
from adapterstilts.values import canonical

ROWS: list[Row] = [
    PairRow("1", "é", None, "neutral"),
    TaggedRow("1", ("a", "\u200b"), ("O", "B-PER")),
    QuestionRow("q", "who?", "Anna", (Answer("Anna", 0),)),
    QuestionRow("q", "who?", "Anna", ()),
    ChoiceRow("1", "p", ("a", "b"), 0),
    RetrievalRow("1", "x", "query", ("en-1",)),
]


def test_fingerprint_is_the_hash_of_the_canonical_rows() -> None:
    rows = [as_json(row) for row in ROWS]
    for row in rows:  # optional, and not given here
        for name in ("spaces", "context", "original"):
            if row.get(name, "") is None:
                del row[name]
    text = "".join(canonical(row) + "\n" for row in rows)
    assert fingerprint(iter(ROWS)) == hashlib.sha256(text.encode("utf-8")).hexdigest()


def test_fingerprint_of_one_row_by_hand() -> None:
    line = b'{"first":"a","id":"1","label":"x","second":"b"}\n'
    assert fingerprint([PairRow("1", "a", "b", "x")]) == hashlib.sha256(line).hexdigest()


def test_fingerprint_depends_on_order_and_content() -> None:
    different = {fingerprint(rows) for rows in (ROWS, ROWS[::-1], ROWS[1:], [*ROWS, ROWS[0]])}
    assert len(different) == 4


@pytest.mark.parametrize("seed", [1, 2])
def test_subsample_keeps_order_and_nests(seed: int) -> None:
    small, large = subsample(1000, 10, seed), subsample(1000, 100, seed)
    assert small == sorted(set(small))
    assert len(small) == 10
    assert set(small) < set(large) < set(range(1000))


def test_subsample_follows_the_hash_of_seed_and_position() -> None:
    order = sorted(range(5), key=lambda position: hashlib.sha256(f"7:{position}".encode()).digest())
    assert subsample(5, 2, 7) == sorted(order[:2])
    assert subsample(1000, 10, 1) != subsample(1000, 10, 2)


def test_subsample_of_no_more_than_there_are() -> None:
    assert subsample(3, None, 1) == subsample(3, 3, 1) == subsample(3, 9, 1) == [0, 1, 2]
