"""The classes that a head chose, beside the gold ones, for every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapterstilts.kinds.base import Feature
from adapterstilts.kinds.registry import KINDS


def feature(target: list[int], length: int = 4) -> Feature:
    ids = np.zeros(length, np.int32)
    return Feature(0, (ids,), (ids,), np.array(target, np.int32))


CASES: dict[str, tuple[list[Any], list[Feature], list[int], list[int]]] = {
    "sequence": ([[0.1, 2.0, 1.0], [3.0, 0.0, 0.0]], [feature([2]), feature([0])], [1, 0], [2, 0]),
    "choice": ([[0.1, 2.0], [0.0, 1.0, 5.0]], [feature([2, 0]), feature([3, 2])], [1, 2], [0, 2]),
    "tagging": (
        [[[9, 0], [0, 1], [2, 1], [9, 0]], [[9, 0], [1, 0], [0, 1], [0, 9]]],
        [feature([-100, 1, 1, -100]), feature([-100, 0, -100, -100])],
        [1, 0, 0],
        [1, 1, 0],
    ),
    "span": ([[[0, 9], [0, 0], [7, 0], [0, 0]]], [feature([1, 3])], [2], [1]),
    "mlm": (
        [[[-0.5, 1, 70_001], [-3.0, 0, 2]], np.empty((0, 3))],
        [feature([-100, 70_001, 5, -100]), feature([-100] * 4)],
        [70_001, 2],
        [70_001, 5],
    ),
    "retrieval": ([[0.5, 0.5]], [feature([])], [], []),
    "mining": ([[0.5, 0.5]], [feature([])], [], []),
}


@pytest.mark.parametrize("name", KINDS)
def test_classes_by_hand(name: str) -> None:
    outputs, features, chosen, gold = CASES[name]
    found = KINDS[name].classes([np.array(each, np.float32) for each in outputs], features)  # type: ignore[index]
    assert [array.tolist() for array in found] == [chosen, gold]
    assert all(array.dtype == np.int32 for array in found)
