"""Estimates from recorded jobs, their scaling, and the jobs that fit into a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapterstilts.grid.estimate import OVERHEAD, Estimator
from adapterstilts.grid.job_spec import JobSettings, JobSpec, training
from adapterstilts.grid.records import SETTINGS_DIGITS, CostGroup
from adapterstilts.grid.status import GridStatus
from adapterstilts.hyperparameters import Hyperparameters


def training_on(rows: int, seed: int = 1) -> JobSpec:
    """Returns a training for one epoch on a number of rows."""
    hyperparameters = Hyperparameters(epochs=1, batch_size=10)
    settings = JobSettings(
        version="1", kind="sequence", backbone="tiny", hyperparameters=hyperparameters, limit=rows
    )
    return training("mnli", "single", (), settings, seed)


def cost_of(job: JobSpec, seconds: float | None, examples: int) -> CostGroup:
    settings = job.settings.digest[:SETTINGS_DIGITS]
    return CostGroup(job.type, job.task, job.composition, "tiny", settings, seconds, examples, 1000)


def test_jobs_with_recorded_settings_take_the_recorded_time() -> None:
    job = training_on(1000)
    estimator = Estimator([cost_of(job, 30.0, 1000), cost_of(job, 50.0, 1000)])
    assert estimator.seconds(training_on(1000, seed=2)) == (40.0, "recorded")
    assert estimator.bytes(job) == 1000


def test_other_settings_are_scaled_by_their_examples() -> None:
    estimator = Estimator([cost_of(training_on(100), 5.0, 100)])
    assert estimator.seconds(training_on(10_000)) == (pytest.approx(OVERHEAD + 4.0 * 100), "recorded")
    older = Estimator([replace(cost_of(training_on(100), 5.0, 100), settings="")])
    assert older.seconds(training_on(100)) == (pytest.approx(5.0), "recorded")


def test_runs_without_a_recorded_time_do_not_count() -> None:
    assert Estimator([cost_of(training_on(100), None, 100)]).seconds(training_on(100))[1] == "rough"


def test_an_estimate_has_a_range() -> None:
    estimate = Estimator([cost_of(training_on(100), 10.0, 100)]).total(
        [training_on(100), training_on(100, seed=2)]
    )
    assert (estimate.seconds, estimate.low, estimate.high) == (
        20.0,
        pytest.approx(20 / 1.3),
        pytest.approx(26.0),
    )
    rough = Estimator().total([training_on(100)])
    assert (rough.low * 4, rough.high / 4) == (pytest.approx(rough.seconds), pytest.approx(rough.seconds))


def test_backbones_without_records_or_rates_are_unknown() -> None:
    job = training_on(100)
    assert list(Estimator().unknown_backbones([job])) == ["tiny"]
    assert Estimator([cost_of(job, 10.0, 100)]).unknown_backbones([job]) == {}


def test_jobs_that_will_not_run_take_no_time() -> None:
    first, second, third = (training_on(100, seed) for seed in (1, 2, 3))
    estimate = Estimator([cost_of(first, 10.0, 100)])
    state = GridStatus({first.digest: "done", second.digest: "failed"}, {}, {}, (), {})
    jobs = [first, second, third]
    assert list(estimate.within(jobs, state, 10.0)) == jobs
    assert list(estimate.within(jobs, state, 9.0)) == jobs[:2]
    assert list(estimate.within(jobs, state, 10.0, retry_failed=True)) == jobs[:2]
