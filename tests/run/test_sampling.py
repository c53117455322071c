"""Several tasks in one course: whose turn it is, each stream's epochs, positions that survive a restart."""

from types import SimpleNamespace

import pytest

from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.run.sampling import TrainingSchedule


def data(size, length=10):
    return SimpleNamespace(features=[SimpleNamespace(length=length)] * size)


def course(*sizes, mixed=False, **hyperparameters):
    settings = {"batch_size": 10, "epochs": 1.0, **hyperparameters}
    tasks = [data(size) for size in sizes]
    return TrainingSchedule(None, None, tasks, Hyperparameters(**settings), 1, None, mixed=mixed)


def test_one_task_is_the_plain_case():
    alone = course(95, epochs=2.0)
    assert (alone.per_epoch, alone.total, alone.turns(), alone.shares) == (10, 20, [0] * 20, [1.0])


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"temperature": 1.0}, [0.8, 0.2]),
        ({"temperature": 2.0}, [2 / 3, 1 / 3]),
        ({"temperature": 1.0, "task_cap": 200}, [0.5, 0.5]),
    ],
)
def test_shares_by_size_cap_and_temperature(settings, shares):
    both = course(800, 200, **settings)
    assert both.shares == pytest.approx(shares)
    many = course(800, 200, max_steps=None, epochs=40.0, **settings)
    turns = many.turns()
    assert turns.count(0) / len(turns) == pytest.approx(shares[0], abs=0.03)


def test_text_has_its_ratio_of_the_steps():
    mix = course(800, 200, 10_000, mixed=True, temperature=1.0, mlm_ratio=0.5)
    assert mix.shares == pytest.approx([0.8 / 1.5, 0.2 / 1.5, 0.5 / 1.5])
    assert mix.per_epoch == 150, "the tasks keep their 100 steps, the text comes on top"


def test_each_stream_goes_through_its_own_epochs():
    mix = course(40, 20, epochs=20.0, temperature=1.0)
    taken = {0: [], 1: []}
    for _, task, indices in mix.steps(0):
        taken[0 if task is mix.data[0] else 1].append(indices)
    for number, size in ((0, 40), (1, 20)):
        batches = size // 10
        assert len(taken[number]) > 2 * batches
        for start in range(0, len(taken[number]) - batches, batches):
            epoch = taken[number][start : start + batches]
            assert sorted(n for batch in epoch for n in batch) == list(range(size))


def test_a_restart_anywhere_goes_on_the_same():
    mix = course(40, 25, 33, epochs=6.0, temperature=2.0)
    whole = list(mix.steps(0))
    for start in (1, 7, 20, mix.total - 1, mix.total):
        assert list(mix.steps(start)) == whole[start:]


def test_turns_depend_on_the_seed():
    one, other = course(40, 40, epochs=9.0, temperature=1.0), course(40, 40, epochs=9.0, temperature=1.0)
    assert one.turns() == other.turns()
    assert one.turns() != TrainingSchedule(None, None, one.data, one.hyperparameters, 2, None).turns()
