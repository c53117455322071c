"""Sentence embeddings of queries and candidates: what retrieval and mining have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.kinds.base import LONGEST, Batch, Encoding, Feature, Floats, Kind
from adapterstilts.kinds.subwords import sequences
from adapterstilts.tasks.spec import Task

Indices = npt.NDArray[np.int64]
Ranked = tuple[Indices, Floats]  # neighbours and their scores [queries, k], best first


class EmbeddingEncoding(Encoding):
    """Settings that retrieval and mining share."""

    layer: int = Field(
        -1,
        ge=-1000,
        le=1000,
        description="Hidden layer that embeddings are read from; -1 is the last, 0 the embedding layer.",
    )
    pooling: Literal["mean", "mean_all", "cls"] = Field(
        "mean",
        description="mean is over non-special tokens, mean_all over all non-padding tokens; cls is the "
        "first token.",
    )
    neighbours: int = Field(4, ge=1, le=LONGEST, description="Neighbours k of the margin.")


E = TypeVar("E", bound=EmbeddingEncoding)


class EmbeddingKind(Kind[E]):
    """Texts of two sides, compared by their embeddings; nothing trains.

    A feature is a row of either side, without a target.
    """

    def encode(
        self, rows: Sequence[RetrievalRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: E
    ) -> list[Feature]:
        """Returns one feature per row, query or candidate."""
        length = encoding.limit(tokenizer)
        features: dict[int, Feature] = {}
        # One tokenizer call takes either pairs or single texts.
        for paired in (True, False):
            numbers = [n for n, row in enumerate(rows) if self.paired(row, encoding) == paired]
            contexts = [rows[n].context or "" for n in numbers] if paired else None
            tokens = sequences(tokenizer, [rows[n].text for n in numbers], contexts, length)
            for n, (ids, types) in zip(numbers, tokens, strict=True):
                features[n] = Feature(n, (ids,), (types,), np.empty(0, np.int32))
        return [features[n] for n in range(len(rows))]

    def paired(self, row: RetrievalRow, encoding: E) -> bool:
        """Whether a row is read together with its context."""
        return False

    @staticmethod
    def sides(rows: Sequence[RetrievalRow]) -> tuple[list[int], list[int]]:
        """Returns the indices of queries and of candidates.

        Raises:
            DataError: There are queries but no candidate.
        """
        queries = [n for n, row in enumerate(rows) if row.side == "query"]
        candidates = [n for n, row in enumerate(rows) if row.side == "candidate"]
        if queries and not candidates:
            raise DataError("retrieval has queries but no candidate sentences")
        return queries, candidates

    @staticmethod
    def unit(outputs: Sequence[Floats], numbers: Sequence[int]) -> Floats:
        """Returns the embeddings [N, H] with these numbers, normalised to length 1; zeros stay zeros."""
        vectors = np.stack([outputs[n] for n in numbers])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        # FAISS reads C-contiguous float32 only.
        return np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Refuses to train.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"a {self.spec.name} task has no training data: evaluate an intermediate adapter on it as it is"
        )

    def embed(
        self,
        hidden: Callable[[int], torch.Tensor],
        batch: Batch,
        tokenizer: PreTrainedTokenizerFast,
        encoding: E,
    ) -> torch.Tensor:
        """Returns pooled hidden states [N, H], float32 and not normalised."""
        return pool(hidden(encoding.layer), batch, tokenizer, encoding.pooling)


def nearest(queries: Floats, candidates: Floats, count: int) -> Ranked:
    """Exact inner-product search; returns at most as many as there are candidates.

    FAISS processes both sides in blocks: besides them and the result it needs a few MB, whatever their size.
    """
    # Imported here, so that FAISS's OpenMP runtime does not load next to torch's for training.
    import faiss

    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    scores, numbers = index.search(queries, min(count, len(candidates)))
    return numbers, scores


def ratio(scores: Floats, near: Indices, forward: Floats, backward: Floats) -> Floats:
    """Returns the ratio margin of each pair (Artetxe and Schwenk 2019, arXiv 1811.01136).

    This is the pair's cosine divided by the mean of both sides' mean cosines to their nearest neighbours. It
    prefers pairs to sentences that are near everything.

    Args:
        scores: Cosines of each query with some candidates [Q, k].
        near: Numbers of these candidates [Q, k].
        forward: Mean cosine of each query to its nearest candidates [Q].
        backward: Mean cosine of each candidate to its nearest queries [C].
    """
    return (scores / ((forward[:, None] + backward[near]) / 2)).astype(np.float32)


def pool(
    hidden: torch.Tensor, batch: Batch, tokenizer: PreTrainedTokenizerFast, pooling: str
) -> torch.Tensor:
    """Returns sentence embeddings [N, H], float32 and not normalised.

    Args:
        hidden: Hidden states of one layer [N, L, H].
        pooling: "mean" over non-special tokens (over all if there are no others, as in an empty text),
            "mean_all" over all non-padding tokens, "cls" for the first token.

    Raises:
        ConfigError: Unknown pooling.
    """
    hidden, mask = hidden.float(), batch["attention_mask"].bool()
    if pooling == "cls":
        return hidden[:, 0]
    if pooling not in ("mean", "mean_all"):
        raise ConfigError(f"unknown pooling '{pooling}'. Known: cls, mean, mean_all")
    if pooling == "mean":
        # <unk> is special to the tokenizer, but represents a piece of the text.
        special = sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
        ids = batch["input_ids"]
        text = mask & ~torch.isin(ids, torch.as_tensor(special, device=ids.device))
        mask = torch.where(text.any(dim=1, keepdim=True), text, mask)
    weights = mask.unsqueeze(2).float()
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
