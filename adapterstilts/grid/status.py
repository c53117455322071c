"""Status of a grid: which of its jobs are done, running, failed, blocked or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from adapterstilts.grid.claims import RunningJob
from adapterstilts.grid.job_spec import JobSpec, JobType
from adapterstilts.grid.records import Answer, Failure, Records

JobState = Literal["done", "running", "failed", "blocked", "waiting"]
STATES: tuple[JobState, ...] = ("done", "running", "failed", "blocked", "waiting")


@dataclass(frozen=True)
class GridStatus:
    """Status of all jobs of a grid at one moment.

    Attributes:
        states: Job digest -> state. Waiting jobs are absent: a large grid has millions of them.
        runs: Job digest -> id of the run that holds its result.
        failures: Job digest -> failure.
        running: Jobs of this grid that some process is computing.
        counts: Number of jobs by type and state.
        quick: Whether only the index was read and no file of a run was checked.
        precisions: Job digest -> precision of the result, for results that were computed with a model.
        pulled: Job digest -> repository of the run, for trainings whose run was pulled.
    """

    states: Mapping[str, JobState]
    runs: Mapping[str, str]
    failures: Mapping[str, Failure]
    running: tuple[RunningJob, ...]
    counts: Mapping[tuple[JobType, JobState], int]
    quick: bool = False
    precisions: Mapping[str, str] = field(default_factory=dict)
    pulled: Mapping[str, str] = field(default_factory=dict)

    def state_of(self, job: JobSpec) -> JobState:
        """State of one job. A job that needs a failed one is blocked."""
        return self.states.get(job.digest, "waiting")

    def count(self, state: JobState) -> int:
        """Number of jobs in a state."""
        return sum(number for (_, job_state), number in self.counts.items() if job_state == state)

    @property
    def job_count(self) -> int:
        """Number of all jobs."""
        return sum(self.counts.values())

    def pending(self, jobs: Iterable[JobSpec]) -> Iterator[JobSpec]:
        """The jobs that still need computing: those running and those waiting."""
        state_of = self.states.get
        return (job for job in jobs if state_of(job.digest, "waiting") in ("running", "waiting"))


def read_status(jobs: Iterable[JobSpec], records: Records, quick: bool = False) -> GridStatus:
    """Reads the status of jobs from a store.

    Args:
        jobs: Jobs, each after those that it needs. There may be millions, so they are read once.
        records: Records of the store.
        quick: Whether the index suffices if the store has very many results.
    """
    running = {entry.digest: entry for entry in records.running_jobs()}
    indexed = records.read_answers() if quick else None
    find_answer = _checked_answers(records) if indexed is None else indexed.get
    failed = records.failed_digests()
    states: dict[str, JobState] = {}
    runs: dict[str, str] = {}
    precisions: dict[str, str] = {}
    pulled: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    counts: Counter[tuple[JobType, JobState]] = Counter()
    # Trainings to be computed. Their dependents are open as well, even if they have a result: the new run may
    # differ from the one that the result was made from.
    open_trainings: set[str] = set()
    for job in jobs:
        digest = job.digest
        state: JobState = "waiting"
        answer = find_answer(digest) if open_trainings.isdisjoint(job.needs) else None
        if answer:
            state, runs[digest] = "done", answer.run
            if answer.precision:
                precisions[digest] = answer.precision
            if answer.pulled:
                pulled[digest] = answer.pulled
        elif digest in running:
            state = "running"
        elif digest in failed and (failure := records.read_failure(digest)):
            state, failures[digest] = "failed", failure
        elif states and any(states.get(need) in ("failed", "blocked") for need in job.needs):
            state = "blocked"
        if state != "waiting":
            states[digest] = state
        if state in ("waiting", "running") and not job.language:
            open_trainings.add(digest)
        counts[job.type, state] += 1
    running_here = tuple(entry for digest, entry in running.items() if digest in states)
    return GridStatus(states, runs, failures, running_here, counts, indexed is not None, precisions, pulled)


def _checked_answers(records: Records) -> Callable[[str], Answer | None]:
    """Returns a function that finds the result of a job and checks the files of its run."""
    # One directory listing is far cheaper than one failed open for each of millions of waiting jobs.
    recorded = records.record_digests()

    def find_answer(digest: str) -> Answer | None:
        record = records.find_finished(digest) if digest in recorded else None
        return Answer(record.run, record.precision, record.pulled) if record else None

    return find_answer
