"""Bitext mining: margins, candidates of both directions, thresholds and F1."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import DataError
from adapterstilts.kinds.mining import KIND, _threshold_of, mine
from adapterstilts.kinds.mining import MiningEncoding as Encoding
from adapterstilts.kinds.registry import default_encoding


@pytest.fixture
def task(task_of):
    return task_of("mining").model_copy(update={"metric": "f1"})


def at(degrees: float, length: float = 1.0) -> np.ndarray:
    angle = math.radians(degrees)
    return np.array([length * math.cos(angle), length * math.sin(angle)], np.float32)


def queries(*gold: tuple[str, ...]) -> list[RetrievalRow]:
    return [RetrievalRow(f"x{n}", f"source {n}", "query", each) for n, each in enumerate(gold)]


def pairs(*scores: tuple[str, float] | None) -> list[dict]:
    return [
        {"id": f"x{n}", **({"candidate": each[0], "score": each[1]} if each else {})}
        for n, each in enumerate(scores)
    ]


def test_each_side_proposes_and_the_best_margins_win():
    """With one neighbour the margin is the cosine over the mean of both best cosines."""
    sources, targets = np.stack([at(0), at(40)]), np.stack([at(10), at(20), at(90)])
    found, scores = mine(sources, targets, 1)
    # Sources 0 and 1 and targets 0 and 1 name each other; target 2 names source 1, which is taken.
    assert sorted(map(tuple, found.tolist())) == [(0, 0), (1, 1)]
    assert scores.tolist() == pytest.approx([1.0, 1.0])


def test_a_pair_that_only_the_candidate_proposes_is_taken():
    """The 20 degrees of source 1 are nearest to target 0, which has a nearer one; target 1 names source 1."""
    sources, targets = np.stack([at(0), at(20)]), np.stack([at(5), at(60)])
    found, scores = mine(sources, targets, 1)
    assert found.tolist() == [[0, 0], [1, 1]]
    near, far = math.cos(math.radians(40)), math.cos(math.radians(15))
    assert scores.tolist() == pytest.approx([1.0, near / ((near + far) / 2)], abs=1e-6)


def test_mining_agrees_with_a_full_matrix():
    rng = np.random.default_rng(0)
    sources, targets = (_unit(rng.normal(size=(size, 8))) for size in (40, 30))
    cosines = sources @ targets.T
    ahead, back = (np.sort(each, axis=1)[:, -4:].mean(axis=1) for each in (cosines, cosines.T))
    margins = cosines / ((ahead[:, None] + back[None]) / 2)
    proposed = set()
    for n, row in enumerate(cosines):
        proposed.add((n, max(np.argsort(-row)[:4], key=lambda m: margins[n, m])))
    for m, row in enumerate(cosines.T):
        proposed.add((max(np.argsort(-row)[:4], key=lambda n: margins[n, m]), m))
    want, taken = [], (set(), set())
    for n, m in sorted(proposed, key=lambda pair: -margins[pair]):
        if n not in taken[0] and m not in taken[1]:
            want.append([n, m])
            taken[0].add(n)
            taken[1].add(m)
    found, scores = mine(sources, targets, 4)
    assert found.tolist() == want
    assert scores == pytest.approx([margins[n, m] for n, m in want], abs=1e-5)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_sentences_that_repeat_are_mined_once_and_do_not_count(task):
    rows = [
        RetrievalRow("x0", "twice", "query", ("y0",)),
        RetrievalRow("x1", "twice", "query"),
        RetrievalRow("x2", "once", "query", ("y1",)),
        RetrievalRow("y0", "zweimal", "candidate"),
        RetrievalRow("y1", "einmal", "candidate"),
    ]
    outputs = [at(0), at(0), at(60, 3.0), at(2), at(61)]
    found = KIND.decode(outputs, [], rows, task, Encoding(neighbours=1))
    assert [each.get("candidate") for each in found] == [None, None, "y1"]
    metrics = KIND.score(found, rows, task, "de")
    assert (metrics["precision"], metrics["recall"]) == (100.0, 50.0)


def test_the_threshold_of_best_f1_by_hand(task):
    """Best after the third pair: 2 of 3 are right, and 2 of 3 gold pairs found."""
    rows = queries(("a",), (), ("c",), (), ("e",))
    found = pairs(("a", 1.5), ("b", 1.4), ("c", 1.2), ("d", 1.1), None)
    assert _threshold_of(found, rows) == 1.15
    assert KIND.score(found, rows, task, "de") == {
        "f1": 66.666667, "precision": 66.666667, "recall": 66.666667, "threshold": 1.15, "score": 66.666667,
    }  # fmt: skip
    assert KIND.counts(found, rows, task, "de").tolist() == [
        [1, 1, 1],
        [0, 1, 0],
        [1, 1, 1],
        [0, 0, 0],
        [0, 0, 1],
    ]


def test_a_threshold_that_is_set_is_kept(task):
    rows = [*queries(("y0",), ()), RetrievalRow("y0", "u", "candidate"), RetrievalRow("y1", "v", "candidate")]
    found = KIND.decode([at(0), at(50), at(1), at(70)], [], rows, task, Encoding(threshold=1.6))
    assert [each["threshold"] for each in found] == [1.6, 1.6]
    assert [each["candidate"] for each in found] == ["y0", "y1"]
    assert KIND.score(found, rows, task, "de") == {
        "f1": 0.0, "precision": 0.0, "recall": 0.0, "threshold": 1.6, "score": 0.0,
    }  # fmt: skip


def test_the_last_pair_may_be_the_best_and_none_may_be_right(task):
    rows = queries(("a",), ("b",))
    assert _threshold_of(pairs(("a", 1.5), ("b", 1.2)), rows) == 1.2
    assert KIND.score(pairs(("b", 1.5), ("a", 1.2)), rows, task, "de")["f1"] == 0.0


def test_bad_input(task):
    with pytest.raises(DataError, match="no candidate"):
        KIND.decode([at(0)], [], queries(("a",)), task, Encoding())
    with pytest.raises(DataError, match="no gold pair"):
        KIND.score(pairs(None), queries(()), task, "de")
    assert KIND.head(task) is None


def test_a_threshold_is_part_of_the_encoding():
    assert default_encoding("mining", {}).model_dump(mode="json")["threshold"] is None
    assert default_encoding("mining", {"threshold": 1.1}).model_dump(mode="json")["threshold"] == 1.1
