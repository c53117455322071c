"""Batches of features of similar length: less padding, and the same order for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BUCKET = 50  # batches that are shuffled together before sorting by length


def epoch_batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Returns every index once, in batches of `size` with similar lengths, batches in random order.

    The order is a function of `(seed, epoch)` alone, so a position in it survives a restart.

    Args:
        lengths: Number of subwords of each feature.
        size: Examples per batch.
        seed: Training seed.
        epoch: Number of the epoch.
    """
    # A function of seed and epoch only: a resumed training has the same batches.
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    sizes = np.asarray(lengths)
    batches: list[list[int]] = []
    for start in range(0, len(order), size * BUCKET):
        # Sorting only within a bucket keeps the batches of an epoch random.
        pool = order[start : start + size * BUCKET]
        pool = pool[np.argsort(-sizes[pool], kind="stable")]
        batches += [pool[n : n + size].tolist() for n in range(0, len(pool), size)]
    return [batches[n] for n in random.permutation(len(batches))]


def sorted_batches(
    lengths: Sequence[int], tokens: int, widths: Sequence[int] | None = None
) -> list[list[int]]:
    """Returns batches, longest first, with at most `tokens` padded subwords (at least one feature).

    Args:
        lengths: Longest sequence of each feature, in subwords.
        tokens: Maximum number of padded subwords.
        widths: Sequences per feature (choices); one by default.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
    batches: list[list[int]] = []
    # Longest first, so that running out of memory shows at once and not at the end.
    room = 0
    for index in order:
        width = 1 if widths is None else widths[index]
        if not batches or room < width:
            batches.append([])
            room = max(tokens // max(lengths[index], 1), width)
        batches[-1].append(index)
        room -= width
    return batches
