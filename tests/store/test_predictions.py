"""Predictions come back from Parquet as they went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapterstilts.errors import StoreError
from adapterstilts.store import read_predictions, write_predictions

CASES: dict[str, list[dict[str, Any]]] = {
    "labels": [
        {"id": "1", "label": "neutral", "scores": [0.1, 0.7, 0.2]},
        {"id": "2", "label": "x", "scores": [1.0]},
    ],
    "tags": [{"id": "a", "tags": ["O", "B-PER"]}, {"id": "b", "tags": []}],
    "spans": [
        {"id": "q", "text": "पेरिस 東京", "start": 5, "n_best": [{"text": "a", "score": 0.5}, {"text": ""}]}
    ],
    "keys that differ": [
        {"id": "1", "probabilities": {"yes": 0.5}},
        {"id": "2", "probabilities": {"no": 1.0}},
    ],
    "absent and null": [{"id": "1", "label": None}, {"id": "2"}, {"id": "3", "label": "x"}],
    "numbers of two types": [{"id": "1", "value": 1}, {"id": "2", "value": 1.5}, {"id": "3", "value": True}],
    "whole numbers too large": [{"id": "1", "value": 2**80}],
    "empty lists": [{"id": "1", "tags": []}, {"id": "2", "tags": [None, "x"]}],
    "nothing": [],
}


@pytest.mark.parametrize("name", CASES)
def test_predictions_survive_with_their_types(tmp_path: Path, name: str) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, CASES[name])
    found = read_predictions(path)
    assert found == CASES[name]
    assert [[type(v) for v in row.values()] for row in found] == [
        [type(row[key]) for key in back] for row, back in zip(CASES[name], found, strict=True)
    ]


def test_the_same_predictions_make_the_same_bytes(tmp_path: Path) -> None:
    rows = [{"id": str(n), "score": n / 7, "spans": [{"start": n}]} for n in range(500)]
    for name in ("a", "b"):
        write_predictions(tmp_path / name, rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, CASES["tags"])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"predictions\.parquet cannot be read"):
        read_predictions(path)
    with pytest.raises(StoreError, match=r"absent\.parquet cannot be read"):
        read_predictions(tmp_path / "absent.parquet")
