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
from adapterstilts.kinds.subwords import limit, sequences
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
        length = limit(tokenizer, encoding)
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
        states = hidden(encoding.layer).float()
        special = special_ids(tokenizer)
        return pool(states, batch["attention_mask"], batch["input_ids"], special, encoding.pooling)


def sides(rows: Sequence[RetrievalRow]) -> tuple[list[int], list[int]]:
    """Which rows are queries, and which candidates.

    Raises:
        DataError: there are queries but no candidate.
    """
    queries = [n for n, row in enumerate(rows) if row.side == "query"]
    candidates = [n for n, row in enumerate(rows) if row.side == "candidate"]
    if queries and not candidates:
        raise DataError("retrieval has queries but no candidate sentences")
    return queries, candidates


def unit(outputs: Sequence[Floats], numbers: Sequence[int]) -> Floats:
    """Returns the embeddings [N, H] with these numbers, normalised to length 1; zeros stay zeros."""
    vectors = np.stack([outputs[n] for n in numbers])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def nearest(queries: Floats, candidates: Floats, count: int) -> Ranked:
    """Exact inner-product search; at most as many as there are candidates.

    FAISS goes through both sides in blocks: beside them and the result it holds a few MB, however many there
    are.
    """
    import faiss  # only where it is used: its OpenMP runtime need not load beside torch's for training

    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    scores, found = index.search(queries, min(count, len(candidates)))
    return found, scores


def ratio(scores: Floats, near: Indices, ahead: Floats, back: Floats) -> Floats:
    """The ratio margin of each pair (Artetxe and Schwenk 2019, arXiv 1811.01136).

    The cosine of a pair over the mean of the two sides' mean cosines to their nearest on the other side; it
    lifts pairs that stand out over sentences that are near everything.

    Args:
        scores, near: cosines of each query with some candidates, and which [Q, k].
        ahead, back: mean cosine of each query [Q] and of each candidate [C] to its nearest.
    """
    return (scores / ((ahead[:, None] + back[near]) / 2)).astype(np.float32)


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
