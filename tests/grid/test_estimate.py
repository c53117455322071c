"""Estimates: what was recorded, scaled to what is asked for, and what fits into a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapterstilts.grid.estimate import OVERHEAD, Estimator
from adapterstilts.grid.job_spec import JobSettings, JobSpec, training
from adapterstilts.grid.records import SETTINGS_DIGITS, CostGroup
from adapterstilts.grid.status import GridStatus
from adapterstilts.hyperparameters import Hyperparameters


def asked(rows: int, seed: int = 1) -> JobSpec:
    """An epoch of training on that many rows."""
    hyperparameters = Hyperparameters(epochs=1, batch_size=10)
    told = JobSettings(
        version="1", kind="sequence", backbone="tiny", hyperparameters=hyperparameters, limit=rows
    )
    return training("mnli", "single", (), told, seed)


def recorded(job: JobSpec, seconds: float | None, examples: int) -> CostGroup:
    told = job.settings.digest[:SETTINGS_DIGITS]
    return CostGroup(job.type, job.task, job.composition, "tiny", told, seconds, examples, 1000)


def test_the_same_settings_take_as_long_as_before() -> None:
    job = asked(1000)
    found = Estimator([recorded(job, 30.0, 1000), recorded(job, 50.0, 1000)])
    assert found.seconds(asked(1000, seed=2)) == (40.0, "recorded")
    assert found.bytes(job) == 1000


def test_other_settings_take_as_much_longer_as_they_have_examples() -> None:
    found = Estimator([recorded(asked(100), 5.0, 100)])
    assert found.seconds(asked(10_000)) == (pytest.approx(OVERHEAD + 4.0 * 100), "recorded")
    older = Estimator([replace(recorded(asked(100), 5.0, 100), settings="")])
    assert older.seconds(asked(100)) == (pytest.approx(5.0), "recorded")


def test_a_run_that_was_there_already_says_nothing_of_time() -> None:
    assert Estimator([recorded(asked(100), None, 100)]).seconds(asked(100))[1] == "rough"


def test_an_estimate_says_its_range() -> None:
    known = Estimator([recorded(asked(100), 10.0, 100)]).total([asked(100), asked(100, seed=2)])
    assert (known.seconds, known.low, known.high) == (20.0, pytest.approx(20 / 1.3), pytest.approx(26.0))
    rough = Estimator().total([asked(100)])
    assert (rough.low * 4, rough.high / 4) == (pytest.approx(rough.seconds), pytest.approx(rough.seconds))


def test_backbones_of_which_nothing_is_known() -> None:
    job = asked(100)
    assert list(Estimator().unknown_backbones([job])) == ["tiny"]
    assert Estimator([recorded(job, 10.0, 100)]).unknown_backbones([job]) == {}


def test_what_will_not_be_made_takes_no_time() -> None:
    first, second, third = (asked(100, seed) for seed in (1, 2, 3))
    known = Estimator([recorded(first, 10.0, 100)])
    state = GridStatus({first.digest: "done", second.digest: "failed"}, {}, {}, (), {})
    jobs = [first, second, third]
    assert list(known.within(jobs, state, 10.0)) == jobs
    assert list(known.within(jobs, state, 9.0)) == jobs[:2]
    assert list(known.within(jobs, state, 10.0, retry_failed=True)) == jobs[:2]
