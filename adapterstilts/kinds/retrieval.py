"""Sentence retrieval: nearest neighbours of sentence embeddings; nothing trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import DataError
from adapterstilts.kinds.base import Counts, Feature, Floats, Metrics, Prediction, headline
from adapterstilts.kinds.bootstrap import percent
from adapterstilts.kinds.embedding import (
    EmbeddingEncoding,
    EmbeddingKind,
    Ranked,
    nearest,
    ratio,
    sides,
    unit,
)
from adapterstilts.kinds.spec import SPECS
from adapterstilts.tasks.spec import Task

SHOWN = 5  # neighbours that a prediction lists,
DEPTH = 20  # and that it lists for a task scored by mAP@20
RESCORED = 32  # nearest by cosine among which the margin looks for the best


class RetrievalEncoding(EmbeddingEncoding):
    """How texts become embeddings, and how these are compared."""

    similarity: Literal["cosine", "margin"] = Field("cosine", description="Comparison of embeddings.")
    context: bool = Field(False, description="Read a candidate together with its paragraph.")


class RetrievalKind(EmbeddingKind[RetrievalEncoding]):
    """Queries find their gold among the candidates."""

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
        """`{"id", "neighbours": [{"id", "score"}, ...]}` per *query*, in their order.

        The best five neighbours, or as many as the task's metric looks at. Candidates yield no prediction,
        but where the sides are aligned "reverse" is the query nearest to the candidate in the same place.
        `outputs` are pooled embeddings [hidden], not yet normalised.

        Raises:
            DataError: there is no candidate.
        """
        queries, candidates = sides(rows)
        if not queries:
            return []
        shown = DEPTH if task.metric == "map20" else SHOWN
        compare = COMPARE[encoding.similarity]
        asked, offered = unit(outputs, queries), unit(outputs, candidates)
        ranked = compare(asked, offered, encoding.neighbours, shown)
        found_back: list[Prediction] = [{} for _ in queries]
        if task.metric == "accuracy" and len(queries) == len(candidates):
            back, _ = compare(offered, asked, encoding.neighbours, 1)
            found_back = [{"reverse": rows[queries[near[0]]].id} for near in back]
        return [
            {
                "id": rows[query].id,
                "neighbours": [
                    {"id": rows[candidates[n]].id, "score": round(float(score), 6)}
                    for n, score in zip(found[:shown], scores[:shown], strict=True)
                ],
                **reverse,
            }
            for query, found, scores, reverse in zip(queries, *ranked, found_back, strict=True)
        ]

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Counts:
        """Whether the nearest candidate is gold, average precision at 20, whether the query is found back.

        And 1 [queries, 4].

        Raises:
            DataError: no queries, or one without gold (shuffled files have none).
        """
        queries = [row for row in rows if row.side == "query"]
        if not queries:
            raise DataError("there are no rows to score")
        for row in queries:
            if not row.gold:
                raise DataError(f"query {row.id} has no gold candidate and cannot be scored")
        counted = []
        for mine, row in zip(predictions, queries, strict=True):
            ids = [each["id"] for each in mine["neighbours"]]
            back = mine.get("reverse") == row.id
            counted.append((ids[0] in row.gold, average_precision(ids, row.gold, DEPTH), back, 1))
        return np.array(counted, np.float64)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Accuracy (the share of queries whose nearest candidate is gold), mean average precision at 20.

        And the accuracy of the reverse search: for each candidate the nearest query.
        """
        names = ("accuracy", "map20", "reverse")
        return {name: percent(sums[..., n], sums[..., 3]) for n, name in enumerate(names)}

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Metrics:
        """Accuracy in both directions, or mean average precision at 20 and accuracy beside it.

        XTREME's script scores Tatoeba in the direction that is the reverse one here: English sentences seek
        those of the other language.
        """
        rates = self.rates(self.counts(predictions, rows, task, language).sum(axis=0))
        if task.metric == "accuracy":
            del rates["map20"]  # fewer than 20 neighbours are listed
        if not any("reverse" in each for each in predictions):
            del rates["reverse"]
        return headline(rates, task)


def average_precision(ranked: Sequence[str], gold: Sequence[str], k: int) -> float:
    """Average precision of the first k, of at most k right ones, as XTREME-R's `utils_lareqa.py` has it."""
    right = 0
    total = 0.0
    for place, each in enumerate(ranked[:k], 1):
        if each in gold:
            right += 1
            total += right / place
    return total / min(len(gold), k)


def cosine(queries: Floats, candidates: Floats, neighbours: int, count: int) -> Ranked:
    """The nearest candidates by cosine; `queries` [Q, H] and `candidates` [C, H] of length 1."""
    return nearest(queries, candidates, count)


def margin(queries: Floats, candidates: Floats, neighbours: int, count: int) -> Ranked:
    """The best candidates by ratio margin over k `neighbours`; the 32 nearest by cosine compete."""
    near, scores = nearest(queries, candidates, max(neighbours, count, RESCORED))
    ahead = scores[:, :neighbours].mean(axis=1)
    back = nearest(candidates, queries, neighbours)[1].mean(axis=1)
    margins = ratio(scores, near, ahead, back)
    order = np.argsort(-margins, axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(margins, order, axis=1)


COMPARE = {"cosine": cosine, "margin": margin}


KIND = RetrievalKind()
