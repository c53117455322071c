"""Sentence embeddings of queries and candidates: what retrieval and mining have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.kinds.base import Batch, Classes, Encoding, Feature, Floats, pad_batch
from adapterstilts.kinds.neighbours import normalised
from adapterstilts.kinds.subwords import limit, sequences
from adapterstilts.tasks.spec import Task


class Embedding:
    """Texts of two sides; nothing trains. A feature is a row of either side, without a target."""

    def head(self, task: Task) -> None:
        """No head: embeddings are read from a hidden layer."""

    def encode(
        self, rows: Sequence[RetrievalRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """One feature per row, query or candidate."""
        length = limit(tokenizer, encoding)
        features: dict[int, Feature] = {}
        for paired in (True, False):  # one tokenizer call takes either pairs or single texts
            chosen = [
                n for n, row in enumerate(rows) if (encoding.context and row.context is not None) == paired
            ]
            contexts = [rows[n].context or "" for n in chosen] if paired else None
            tokens = sequences(tokenizer, [rows[n].text for n in chosen], contexts, length)
            for n, (ids, types) in zip(chosen, tokens, strict=True):
                features[n] = Feature(n, (ids,), (types,), np.empty(0, np.int32))
        return [features[n] for n in range(len(rows))]

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

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """No head, no classes."""
        return np.empty(0, np.int32), np.empty(0, np.int32)


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


def unit(outputs: Sequence[Floats], chosen: Sequence[int]) -> Floats:
    """The chosen embeddings [N, H], with length 1."""
    return normalised(np.stack([outputs[n] for n in chosen]))
