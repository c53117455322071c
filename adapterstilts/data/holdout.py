"""Holds out development rows if a task has no development data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adapterstilts.data.rows import Row


def hold_out(
    rows: Sequence[Row], share: float, most: int, seed: int
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Splits rows into (training, development); rows of one group stay together.

    Args:
        share: Of the rows, about, to set aside; 0 sets none aside.
        most: Development rows at the most, about (a group is never cut).
    """
    wanted = min(round(share * len(rows)), most)
    groups = list(dict.fromkeys(row.group for row in rows))
    if wanted == 0 or len(groups) < 2:
        return tuple(rows), ()
    members: dict[str, int] = {}
    for row in rows:
        members[row.group] = members.get(row.group, 0) + 1
    held: set[str] = set()
    count = 0
    for index in np.random.default_rng([seed, 17]).permutation(len(groups)):
        if count >= wanted or len(held) == len(groups) - 1:
            break
        held.add(groups[index])
        count += members[groups[index]]
    kept = tuple(row for row in rows if row.group not in held)
    return kept, tuple(row for row in rows if row.group in held)
