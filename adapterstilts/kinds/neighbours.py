"""Exact nearest neighbours of sentence embeddings, and the margin by which pairs are compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adapterstilts.kinds.base import Floats

Indices = npt.NDArray[np.int64]
Ranked = tuple[Indices, Floats]  # what was found and its scores [queries, k], best first


def normalised(vectors: Floats) -> Floats:
    """Vectors [N, H] of length 1; zeros stay zeros."""
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
