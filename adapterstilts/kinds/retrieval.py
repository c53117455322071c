"""Sentence retrieval: nearest neighbours of sentence embeddings; nothing trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.kinds.base import (
    Batch,
    Encoding,
    Feature,
    Floats,
    Metrics,
    Prediction,
    headline,
    pad_batch,
)
from adapterstilts.kinds.subwords import limit, sequences
from adapterstilts.tasks.spec import Task

SHOWN = 5  # neighbours that a prediction lists
RESCORED = 32  # nearest by cosine among which the margin looks for the best


class RetrievalKind:
    """Queries find their gold among the candidates; a feature is a row of either side, without a target."""

    name = "retrieval"

    def head(self, task: Task) -> None:
        """No head: embeddings are read from a hidden layer."""

    def encode(
        self, rows: Sequence[RetrievalRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """One feature per row, query or candidate."""
        tokens = sequences(tokenizer, [row.text for row in rows], None, limit(tokenizer, encoding))
        return [Feature(n, (ids,), (types,), np.empty(0, np.int32)) for n, (ids, types) in enumerate(tokens)]

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Inputs only."""
        return pad_batch(features, pad)

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """There is none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "a retrieval task has no training data: evaluate an intermediate adapter on it as it is"
        )

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """One embedding [hidden] per feature, from those of the batch [F, hidden]."""
        return list(logits.detach().float().cpu().numpy())

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[RetrievalRow],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """`{"id", "neighbours": [{"id", "score"}, ... best five]}` per *query*, in their order.

        Candidates yield no prediction. `outputs` are pooled embeddings [hidden], not yet normalised.

        Raises:
            DataError: there is no candidate.
        """
        queries = [n for n, row in enumerate(rows) if row.side == "query"]
        candidates = [n for n, row in enumerate(rows) if row.side == "candidate"]
        if not queries:
            return []
        if not candidates:
            raise DataError("retrieval has queries but no candidate sentences")
        vectors = _normalised(np.stack(outputs))
        ranked = COMPARE[encoding.similarity](vectors[queries], vectors[candidates], encoding.neighbours)
        return [
            {
                "id": rows[query].id,
                "neighbours": [
                    {"id": rows[candidates[n]].id, "score": round(float(score), 6)}
                    for n, score in zip(found[:SHOWN], scores[:SHOWN], strict=True)
                ],
            }
            for query, found, scores in zip(queries, *ranked, strict=True)
        ]

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[RetrievalRow], task: Task, language: str
    ) -> Metrics:
        """Accuracy: the share of queries whose nearest candidate is gold.

        Raises:
            DataError: no queries, or one without gold (shuffled files have none).
        """
        queries = [row for row in rows if row.side == "query"]
        if not queries:
            raise DataError("there are no rows to score")
        for row in queries:
            if not row.gold:
                raise DataError(f"query {row.id} has no gold candidate and cannot be scored")
        hits = [
            mine["neighbours"][0]["id"] in row.gold for mine, row in zip(predictions, queries, strict=True)
        ]
        return headline({"accuracy": 100 * sum(hits) / len(hits)}, task)


Ranked = tuple[npt.NDArray[np.int64], Floats]  # candidates and their scores [queries, k], best first


def cosine(queries: Floats, candidates: Floats, neighbours: int) -> Ranked:
    """The nearest candidates by cosine; `queries` [Q, H] and `candidates` [C, H] of length 1."""
    return _nearest(queries, candidates, SHOWN)


def margin(queries: Floats, candidates: Floats, neighbours: int) -> Ranked:
    """The best candidates by ratio margin (Artetxe and Schwenk 2019, arXiv 1811.01136).

    The cosine of a pair over the mean of the two sides' mean cosines to their k nearest on the other side;
    it lifts pairs that stand out over sentences that are near everything. The 32 nearest by cosine compete.
    """
    near, scores = _nearest(queries, candidates, max(neighbours, RESCORED))
    ahead = scores[:, :neighbours].mean(axis=1)
    back = _nearest(candidates, queries, neighbours)[1].mean(axis=1)
    ratio = scores / ((ahead[:, None] + back[near]) / 2)
    order = np.argsort(-ratio, axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(ratio, order, axis=1)


COMPARE = {"cosine": cosine, "margin": margin}


def pool(
    hidden: torch.Tensor,
    attention_mask: torch.Tensor,
    input_ids: torch.Tensor,
    special_ids: Sequence[int] | torch.Tensor,
    pooling: str,
) -> torch.Tensor:
    """Sentence embeddings [N, H] (float32, not normalised) from one hidden layer.

    Args:
        hidden: [N, L, H]; `attention_mask` and `input_ids` are [N, L].
        special_ids: ids that "mean" leaves out: those of `special_ids(tokenizer)`.
        pooling: "mean" over non-special tokens (over all of them where there are only special ones, an
            empty text), "mean_all" over all non-padding tokens, "cls" the first token.

    Raises:
        ConfigError: another pooling.
    """
    hidden, mask = hidden.float(), attention_mask.bool()
    if pooling == "cls":
        return hidden[:, 0]
    if pooling not in ("mean", "mean_all"):
        raise ConfigError(f"unknown pooling '{pooling}'. Known: cls, mean, mean_all")
    if pooling == "mean":
        listed = torch.as_tensor(special_ids, device=input_ids.device)
        plain = mask & ~torch.isin(input_ids, listed)
        mask = torch.where(plain.any(dim=1, keepdim=True), plain, mask)
    weights = mask.unsqueeze(2).float()
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def special_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids that hold no text: all special tokens but <unk>, which stands for a piece of the text."""
    return sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


def _normalised(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _nearest(queries: Floats, candidates: Floats, count: int) -> Ranked:
    """Exact inner-product search; at most as many as there are candidates."""
    import faiss  # only where it is used: its OpenMP runtime need not load beside torch's for training

    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    scores, found = index.search(queries, min(count, len(candidates)))
    return found, scores


KIND = RetrievalKind()
