"""Bucketed batches: every index once, similar lengths, the same order for the same seed."""

import numpy as np

from adapterstilts.run.batches import sorted_batches
from adapterstilts.run.sampling import _epoch_batches

LENGTHS = np.random.default_rng(3).integers(5, 128, 1000).tolist()


def test_every_index_once():
    batches = _epoch_batches(LENGTHS, 32, seed=1, epoch=0)
    assert sorted(n for batch in batches for n in batch) == list(range(1000))
    assert len(batches) == 32 and max(map(len, batches)) == 32


def test_order_depends_on_seed_and_epoch_only():
    assert _epoch_batches(LENGTHS, 32, 1, 0) == _epoch_batches(LENGTHS, 32, 1, 0)
    assert _epoch_batches(LENGTHS, 32, 1, 0) != _epoch_batches(LENGTHS, 32, 1, 1)
    assert _epoch_batches(LENGTHS, 32, 1, 0) != _epoch_batches(LENGTHS, 32, 2, 0)


def test_padding_is_small():
    padded = sum(len(batch) * max(LENGTHS[n] for n in batch) for batch in _epoch_batches(LENGTHS, 32, 1, 0))
    assert padded < 1.1 * sum(LENGTHS)


def test_batches_of_different_length_are_mixed():
    longest = [max(LENGTHS[n] for n in batch) for batch in _epoch_batches(LENGTHS, 32, 1, 0)]
    assert longest != sorted(longest, reverse=True)


def test_sorted_batches_stay_within_the_budget():
    batches = sorted_batches(LENGTHS, 512)
    assert sorted(n for batch in batches for n in batch) == list(range(1000))
    assert all(len(batch) * max(LENGTHS[n] for n in batch) <= 512 for batch in batches)


def test_a_feature_above_the_budget_is_alone():
    assert sorted_batches([600, 10], 512) == [[0], [1]]


def test_choices_count_towards_the_budget():
    assert sorted_batches([10, 10, 10], 40, [2, 2, 2]) == [[0, 1], [2]]
