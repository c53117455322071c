"""Rows set aside for development: seeded, whole groups, never the same row on both sides."""

from adapterstilts.data.holdout import hold_out
from adapterstilts.data.rows import PairRow, QuestionRow

PAIRS = [PairRow(str(n), f"premise {n // 3}", f"hypothesis {n}", "neutral") for n in range(300)]


def test_groups_stay_together():
    train, dev = hold_out(PAIRS, 0.1, 1000, seed=1)
    assert len(dev) == 30 and len(train) == 270
    assert not {row.first for row in train} & {row.first for row in dev}


def test_seed_decides_and_most_limits():
    assert hold_out(PAIRS, 0.1, 1000, 1) == hold_out(PAIRS, 0.1, 1000, 1)
    assert hold_out(PAIRS, 0.1, 1000, 1) != hold_out(PAIRS, 0.1, 1000, 2)
    assert len(hold_out(PAIRS, 0.4, 9, 1)[1]) == 9


def test_nothing_is_held_out_of_one_group_or_for_a_share_of_zero():
    one = [QuestionRow(str(n), "q", "the only context", ()) for n in range(10)]
    assert hold_out(one, 0.2, 100, 1) == (tuple(one), ())
    assert hold_out(PAIRS, 0.0, 100, 1) == (tuple(PAIRS), ())
