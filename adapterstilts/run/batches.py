"""Batches of features of similar length: less padding, and the same order for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
