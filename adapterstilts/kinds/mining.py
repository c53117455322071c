"""Bitext mining (BUCC): which sentences of two texts are translations of each other; nothing trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import DataError
from adapterstilts.kinds.base import Counts, Feature, Floats, Kind, Metrics, Prediction
from adapterstilts.kinds.bootstrap import f1_rates
from adapterstilts.kinds.embedding import (
    EmbeddingEncoding,
    EmbeddingKind,
    Indices,
    nearest,
    ratio,
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


class _MiningKind(EmbeddingKind[MiningEncoding]):
    """Pairs of a query and a candidate whose margin reaches a threshold.

    As in XTREME's `third_party/utils_retrieve.py`. A sentence that its text repeats is searched for once, and
    pairs with it do not count, since it is ambiguous which of its ids is meant. The threshold has the
    best F1 on development data; without one it is chosen on the evaluated rows themselves.
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
        """Returns `{"id", "candidate", "score", "threshold"}` per *query*, in their order.

        A query without a pair has no candidate and score; threshold is missing if none is set. `outputs` are
        pooled embeddings [hidden], not yet normalised.

        Raises:
            DataError: There is no candidate.
        """
        sources, targets = (_distinct(rows, numbers) for numbers in self.sides(rows))
        pairs: dict[str, Prediction] = {}
        if sources:
            mined, scores = mine(
                self.unit(outputs, list(sources)), self.unit(outputs, list(targets)), encoding.neighbours
            )
            queries, candidates = list(sources.values()), list(targets.values())
            for (source, target), score in zip(mined, scores, strict=True):
                query, candidate = queries[source], candidates[target]
                if query is not None and candidate is not None:
                    pairs[query] = {"candidate": candidate, "score": round(float(score), 6)}
        threshold = {} if encoding.threshold is None else {"threshold": encoding.threshold}
        return [{"id": row.id, **pairs.get(row.id, {}), **threshold} for row in rows if row.side == "query"]

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Counts:
        """Returns right pairs, extracted pairs, and gold pairs of each query [queries, 3].

        Raises:
            DataError: There is no gold pair.
        """
        queries = _queries_with_gold(rows)
        threshold = _threshold_of(predictions, rows)
        counts = []
        for pair, row in zip(predictions, queries, strict=True):
            extracted = pair.get("score", -np.inf) >= threshold
            counts.append((extracted and pair["candidate"] in row.gold, extracted, len(row.gold)))
        return np.array(counts, np.float64)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes F1, precision and recall of the pairs."""
        return f1_rates(sums[..., 0], sums[..., 1], sums[..., 2])

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Metrics:
        """Returns F1, precision and recall, and the threshold (a margin, not in percent)."""
        rates = self.rates(self.counts(predictions, rows, task, language).sum(axis=0))
        return Kind.headline({**rates, "threshold": _threshold_of(predictions, rows)}, task)


def mine(sources: Floats, targets: Floats, neighbours: int) -> tuple[Indices, Floats]:
    """Returns pairs [P, 2] of the two sides and their margins [P], best first; no sentence is in two pairs.

    Each sentence of either side proposes the pair with the best margin among its nearest neighbours.
    Proposals are accepted from the best downwards, unless one of the two sentences is in a pair already.
    """
    forward_near, forward_scores = nearest(sources, targets, neighbours)
    backward_near, backward_scores = nearest(targets, sources, neighbours)
    forward_mean, backward_mean = forward_scores.mean(axis=1), backward_scores.mean(axis=1)
    forward = _best(ratio(forward_scores, forward_near, forward_mean, backward_mean), forward_near)
    backward = _best(ratio(backward_scores, backward_near, backward_mean, forward_mean), backward_near)
    pairs = np.concatenate(
        [
            np.stack([np.arange(len(sources)), forward[0]], axis=1),
            np.stack([backward[0], np.arange(len(targets))], axis=1),
        ]
    )
    scores = np.concatenate([forward[1], backward[1]])
    accepted, paired_sources, paired_targets = [], set[int](), set[int]()
    # Stable, so that equal margins are accepted in the order of the official script.
    for n in np.argsort(-scores, kind="stable"):
        source, target = pairs[n].tolist()
        if scores[n] > 0 and source not in paired_sources and target not in paired_targets:
            paired_sources.add(source)
            paired_targets.add(target)
            accepted.append(n)
    return pairs[accepted], scores[accepted]


def _threshold_of(predictions: Sequence[Prediction], rows: Sequence[RetrievalRow]) -> float:
    """Returns the threshold that is set, else the one of the best F1: halfway to the next pair's margin."""
    threshold: float | None = predictions[0].get("threshold") if predictions else None
    if threshold is not None:
        return threshold
    queries = _queries_with_gold(rows)
    pairs = [
        (pair["score"], pair["candidate"] in row.gold)
        for pair, row in zip(predictions, queries, strict=True)
        if "score" in pair
    ]
    if not any(right for _, right in pairs):
        return 0.0
    pairs.sort(key=lambda pair: -pair[0])
    scores, right = np.array(pairs, np.float64).T
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(pairs) + 1), hits / sum(len(row.gold) for row in queries)
    # This formula rather than 2 * hits / (pairs + gold), so that equal F1 rounds as in the official script.
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
    best = int(np.argmax(f1))
    return round(float((scores[best] + scores[min(best + 1, len(scores) - 1)]) / 2), 6)


def _distinct(rows: Sequence[RetrievalRow], numbers: Sequence[int]) -> dict[int, str | None]:
    """Returns one row per distinct text, with its id; None if the text is repeated."""
    times = Counter(rows[n].text for n in numbers)
    # In reverse, so that the earliest row of a repeated text wins.
    earliest = {rows[n].text: n for n in reversed(numbers)}
    return {n: rows[n].id if times[text] == 1 else None for text, n in reversed(earliest.items())}


def _best(scores: Floats, near: Indices) -> tuple[Indices, Floats]:
    """Returns the neighbour with the best score for each row, and that score."""
    rows = np.arange(len(scores))
    best = scores.argmax(axis=1)
    return near[rows, best], scores[rows, best]


def _queries_with_gold(rows: Sequence[RetrievalRow]) -> list[RetrievalRow]:
    """Returns all queries; refuses rows without any gold pair."""
    queries = [row for row in rows if row.side == "query"]
    if not any(row.gold for row in queries):
        raise DataError("there is no gold pair to score against")
    return queries


KIND = _MiningKind()
