"""Bitext mining (BUCC): which sentences of two texts are translations of each other; nothing trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import DataError
from adapterstilts.kinds.base import (
    Counts,
    Feature,
    Floats,
    Metrics,
    Prediction,
    headline,
)
from adapterstilts.kinds.bootstrap import f1_rates
from adapterstilts.kinds.embedding import (
    EmbeddingEncoding,
    EmbeddingKind,
    Indices,
    nearest,
    ratio,
    sides,
    unit,
)
from adapterstilts.kinds.spec import SPECS
from adapterstilts.tasks.spec import Task


class MiningEncoding(EmbeddingEncoding):
    """How texts become embeddings, which are always compared by margin."""

    threshold: float | None = Field(
        None,
        description="Smallest margin of a translation pair (default: the one of best F1 on development "
        "data, or on the evaluated rows where these are development data).",
    )


class MiningKind(EmbeddingKind[MiningEncoding]):
    """Pairs of a query and a candidate whose margin reaches a threshold.

    As XTREME's `third_party/utils_retrieve.py` does it. A sentence that stands in its text more than once is
    searched for once, and pairs with it do not count, since one could not say which of its ids is meant. The
    threshold is the one of best F1 on development data; without one it is set on the rows themselves.
    """

    spec = SPECS["mining"]
    encoding = MiningEncoding

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[RetrievalRow],
        task: Task,
        encoding: MiningEncoding,
    ) -> list[Prediction]:
        """`{"id", "candidate", "score", "threshold"}` per *query*, in their order.

        Without candidate and score if it was paired with none, without threshold if none is set. `outputs`
        are pooled embeddings [hidden], not yet normalised.

        Raises:
            DataError: there is no candidate.
        """
        sources, targets = (_unique(rows, chosen) for chosen in sides(rows))
        found: dict[str, Prediction] = {}
        if sources:
            pairs, scores = mine(
                unit(outputs, list(sources)), unit(outputs, list(targets)), encoding.neighbours
            )
            queries, candidates = list(sources.values()), list(targets.values())
            for (source, target), score in zip(pairs, scores, strict=True):
                query, candidate = queries[source], candidates[target]
                if query is not None and candidate is not None:
                    found[query] = {"candidate": candidate, "score": round(float(score), 6)}
        threshold = {} if encoding.threshold is None else {"threshold": encoding.threshold}
        return [{"id": row.id, **found.get(row.id, {}), **threshold} for row in rows if row.side == "query"]

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Counts:
        """Right pairs, pairs at all, and gold pairs of each query [queries, 3].

        Raises:
            DataError: there is no gold pair.
        """
        queries = _gold_of(rows)
        threshold = threshold_of(predictions, rows)
        counted = []
        for pair, row in zip(predictions, queries, strict=True):
            extracted = pair.get("score", -np.inf) >= threshold
            counted.append((extracted and pair["candidate"] in row.gold, extracted, len(row.gold)))
        return np.array(counted, np.float64)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """F1, precision and recall of the pairs."""
        return f1_rates(sums[..., 0], sums[..., 1], sums[..., 2])

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Metrics:
        """F1, precision and recall, and beside them the threshold (a margin, not in percent)."""
        rates = self.rates(self.counts(predictions, rows, task, language).sum(axis=0))
        return headline({**rates, "threshold": threshold_of(predictions, rows)}, task)


def mine(sources: Floats, targets: Floats, neighbours: int) -> tuple[Indices, Floats]:
    """Pairs [P, 2] of the two sides with their margins [P], best first; no sentence is in two pairs.

    Each sentence of either side proposes the one with the best margin among its nearest; proposals are
    accepted from the best on, unless one of the two is taken already.
    """
    ahead_near, ahead = nearest(sources, targets, neighbours)
    back_near, back = nearest(targets, sources, neighbours)
    ahead_mean, back_mean = ahead.mean(axis=1), back.mean(axis=1)
    forward = _best(ratio(ahead, ahead_near, ahead_mean, back_mean), ahead_near)
    backward = _best(ratio(back, back_near, back_mean, ahead_mean), back_near)
    pairs = np.concatenate(
        [
            np.stack([np.arange(len(sources)), forward[0]], axis=1),
            np.stack([backward[0], np.arange(len(targets))], axis=1),
        ]
    )
    scores = np.concatenate([forward[1], backward[1]])
    accepted, taken = [], (set[int](), set[int]())
    for n in np.argsort(-scores, kind="stable"):
        source, target = pairs[n].tolist()
        if scores[n] > 0 and source not in taken[0] and target not in taken[1]:
            taken[0].add(source)
            taken[1].add(target)
            accepted.append(n)
    return pairs[accepted], scores[accepted]


def threshold_of(predictions: Sequence[Prediction], rows: Sequence[RetrievalRow]) -> float:
    """The threshold that is set, else the one of the best F1: halfway to the next pair's margin."""
    given: float | None = predictions[0].get("threshold") if predictions else None
    if given is not None:
        return given
    queries = _gold_of(rows)
    found = [
        (pair["score"], pair["candidate"] in row.gold)
        for pair, row in zip(predictions, queries, strict=True)
        if "score" in pair
    ]
    if not any(right for _, right in found):
        return 0.0
    found.sort(key=lambda each: -each[0])
    scores, right = np.array(found, np.float64).T
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(found) + 1), hits / sum(len(row.gold) for row in queries)
    with np.errstate(invalid="ignore"):  # this formula, so that equal F1 rounds as in the official script
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
    last = int(np.argmax(f1))
    return round(float((scores[last] + scores[min(last + 1, len(scores) - 1)]) / 2), 6)


def _unique(rows: Sequence[RetrievalRow], chosen: Sequence[int]) -> dict[int, str | None]:
    """One row for each text, and its id; None if the text stands there more than once."""
    times = Counter(rows[n].text for n in chosen)
    first = {rows[n].text: n for n in reversed(chosen)}
    return {n: rows[n].id if times[text] == 1 else None for text, n in reversed(first.items())}


def _best(scores: Floats, near: Indices) -> tuple[Indices, Floats]:
    every = np.arange(len(scores))
    best = scores.argmax(axis=1)
    return near[every, best], scores[every, best]


def _gold_of(rows: Sequence[RetrievalRow]) -> list[RetrievalRow]:
    """The queries, at least one of which has gold."""
    queries = [row for row in rows if row.side == "query"]
    if not any(row.gold for row in queries):
        raise DataError("there is no gold pair to score against")
    return queries


KIND = MiningKind()
