"""Holds out development rows if a task has no development data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adapterstilts.data.rows import Row


def hold_out(
    rows: Sequence[Row], share: float, maximum: int, seed: int
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Splits rows into (training, development); rows of one group stay together.

    Args:
        share: Approximate share of development rows. 0 for none.
        most: Approximate maximum of development rows (a group is never split).
    """
    target = min(round(share * len(rows)), maximum)
    groups = list(dict.fromkeys(row.group for row in rows))
    if target == 0 or len(groups) < 2:
        return tuple(rows), ()
    members: dict[str, int] = {}
    for row in rows:
        members[row.group] = members.get(row.group, 0) + 1
    dev_groups: set[str] = set()
    count = 0
    for index in np.random.default_rng([seed, 17]).permutation(len(groups)):
        if count >= target or len(dev_groups) == len(groups) - 1:
            break
        dev_groups.add(groups[index])
        count += members[groups[index]]
    training = tuple(row for row in rows if row.group not in dev_groups)
    return training, tuple(row for row in rows if row.group in dev_groups)
