"""Sentence retrieval: nearest neighbours of sentence embeddings; nothing trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import DataError
from adapterstilts.kinds.base import Counts, Feature, Floats, Kind, Metrics, Prediction
from adapterstilts.kinds.bootstrap import percent
from adapterstilts.kinds.embedding import (
    EmbeddingEncoding,
    EmbeddingKind,
    Ranked,
    nearest,
    ratio,
)
from adapterstilts.kinds.spec import SPECS
from adapterstilts.tasks.spec import Task

NEIGHBOURS = 5  # in a prediction
DEPTH = 20  # neighbours in a prediction of a task scored by mAP@20
RESCORED = 32  # nearest by cosine among which the margin searches for the best


class RetrievalEncoding(EmbeddingEncoding):
    """How texts become embeddings, and how these are compared."""

    similarity: Literal["cosine", "margin"] = Field("cosine", description="Comparison of embeddings.")
    context: bool = Field(False, description="Read a candidate together with its paragraph.")


class _RetrievalKind(EmbeddingKind[RetrievalEncoding]):
    """Queries search for their gold among the candidates."""

    spec = SPECS["retrieval"]
    encoding = RetrievalEncoding

    def paired(self, row: RetrievalRow, encoding: RetrievalEncoding) -> bool:
        """Whether a candidate is read together with its paragraph."""
        return encoding.context and row.context is not None

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[RetrievalRow],
        task: Task,
        encoding: RetrievalEncoding,
    ) -> list[Prediction]:
        """Returns `{"id", "neighbours": [{"id", "score"}, ...]}` per *query*, in their order.

        It lists the best five neighbours, or as many as the task's metric reads. Candidates have no
        prediction, but if the sides are aligned, "reverse" is the query nearest to the candidate in the same
        place. `outputs` are pooled embeddings [hidden], not yet normalised.

        Raises:
            DataError: There is no candidate.
        """
        queries, candidates = self.sides(rows)
        if not queries:
            return []
        depth = DEPTH if task.metric == "map20" else NEIGHBOURS
        search = _margin if encoding.similarity == "margin" else _cosine
        sources, targets = self.unit(outputs, queries), self.unit(outputs, candidates)
        ranked = search(sources, targets, encoding.neighbours, depth)
        reverses: list[Prediction] = [{} for _ in queries]
        if task.metric == "accuracy" and len(queries) == len(candidates):
            nearest_queries, _ = search(targets, sources, encoding.neighbours, 1)
            reverses = [{"reverse": rows[queries[near[0]]].id} for near in nearest_queries]
        return [
            {
                "id": rows[query].id,
                "neighbours": [
                    {"id": rows[candidates[n]].id, "score": round(float(score), 6)}
                    for n, score in zip(near[:depth], scores[:depth], strict=True)
                ],
                **reverse,
            }
            for query, near, scores, reverse in zip(queries, *ranked, reverses, strict=True)
        ]

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Counts:
        """Returns for each query whether both searches are right and its average precision [queries, 4].

        In order: whether the nearest candidate is gold, average precision at 20, whether the query is nearest
        to its candidate, and 1.

        Raises:
            DataError: There are no queries, or one has no gold (shuffled files have none).
        """
        queries = [row for row in rows if row.side == "query"]
        if not queries:
            raise DataError("there are no rows to score")
        for row in queries:
            if not row.gold:
                raise DataError(f"query {row.id} has no gold candidate and cannot be scored")
        counts = []
        for prediction, row in zip(predictions, queries, strict=True):
            ids = [neighbour["id"] for neighbour in prediction["neighbours"]]
            reverse = prediction.get("reverse") == row.id
            counts.append((ids[0] in row.gold, _average_precision(ids, row.gold, DEPTH), reverse, 1))
        return np.array(counts, np.float64)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes accuracy, mean average precision at 20, and the accuracy of the reverse search.

        Accuracy is the share of queries whose nearest candidate is gold; the reverse search looks for the
        query nearest to each candidate.
        """
        names = ("accuracy", "map20", "reverse")
        return {name: percent(sums[..., n], sums[..., 3]) for n, name in enumerate(names)}

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Metrics:
        """Returns accuracy in both directions, or mean average precision at 20 and accuracy."""
        # XTREME's script scores Tatoeba in the direction that is the reverse one here: English sentences
        # search among those of the other language.
        rates = self.rates(self.counts(predictions, rows, task, language).sum(axis=0))
        if task.metric == "accuracy":
            del rates["map20"]  # predictions list fewer than 20 neighbours
        if not any("reverse" in prediction for prediction in predictions):
            del rates["reverse"]
        return Kind.headline(rates, task)


def _average_precision(ranked: Sequence[str], gold: Sequence[str], k: int) -> float:
    """Returns average precision at k over at most k gold items, as in XTREME-R's `utils_lareqa.py`."""
    right = 0
    total = 0.0
    for place, candidate in enumerate(ranked[:k], 1):
        if candidate in gold:
            right += 1
            total += right / place
    return total / min(len(gold), k)


def _cosine(queries: Floats, candidates: Floats, neighbours: int, count: int) -> Ranked:
    """Returns the nearest candidates by cosine; `queries` [Q, H] and `candidates` [C, H] of length 1."""
    return nearest(queries, candidates, count)


def _margin(queries: Floats, candidates: Floats, neighbours: int, count: int) -> Ranked:
    """Returns the best candidates by ratio margin over k `neighbours`."""
    # The margins of all pairs would need a matrix [Q, C], so only the nearest by cosine compete.
    near, scores = nearest(queries, candidates, max(neighbours, count, RESCORED))
    forward = scores[:, :neighbours].mean(axis=1)
    backward = nearest(candidates, queries, neighbours)[1].mean(axis=1)
    margins = ratio(scores, near, forward, backward)
    order = np.argsort(-margins, axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(margins, order, axis=1)


KIND = _RetrievalKind()
