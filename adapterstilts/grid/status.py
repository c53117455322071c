"""Where a grid stands: which of its requests are done, running, failed, blocked or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from adapterstilts.grid.job_spec import JobSpec, JobType
from adapterstilts.grid.records import Answer, Failure, Records, Running

JobState = Literal["done", "running", "failed", "blocked", "waiting"]
STATES: tuple[JobState, ...] = ("done", "running", "failed", "blocked", "waiting")


@dataclass(frozen=True)
class GridStatus:
    """One look at a grid.

    Attributes:
        states: request digest -> where it stands; whatever is not there is waiting.
        runs: request digest -> the run that answers it.
        failures: by request digest.
        counts: how many requests of each type are where.
        precisions: request digest -> what the result was computed in, of those that computed something.
        pulled: request digest -> where the run was pulled from, of trainings whose run was not trained here.
        quick: the runs' files were not looked at, since there are very many.
    """

    states: Mapping[str, JobState]
    runs: Mapping[str, str]
    failures: Mapping[str, Failure]
    running: tuple[Running, ...]
    counts: Mapping[tuple[JobType, JobState], int]
    quick: bool = False
    precisions: Mapping[str, str] = field(default_factory=dict)
    pulled: Mapping[str, str] = field(default_factory=dict)

    def of(self, request: JobSpec) -> JobState:
        """Where a request stands; one that needs a failed one is blocked."""
        return self.states.get(request.digest, "waiting")

    def total(self, state: JobState) -> int:
        """How many requests are in this state."""
        return sum(number for (_, where), number in self.counts.items() if where == state)

    @property
    def all(self) -> int:
        """How many requests there are."""
        return sum(self.counts.values())

    def left(self, requests: Iterable[JobSpec]) -> Iterator[JobSpec]:
        """Those of the requests that are yet to be made."""
        where = self.states.get
        return (each for each in requests if where(each.digest, "waiting") in ("running", "waiting"))


def look(requests: Iterable[JobSpec], records: Records, quick: bool = False) -> GridStatus:
    """The state of these requests, which stand after those that they need; they may be very many.

    Args:
        quick: of very many results, only see that they are recorded and there.
    """
    running = {each.request: each for each in records.running()}
    glance = records.glance() if quick else None
    answer = _by_looking(records) if glance is None else glance.get
    broken = records.failed()
    states: dict[str, JobState] = {}
    making: set[str] = set()  # trainings that are to be made (again): what needs them may change with them
    done: dict[str, str] = {}
    precisions: dict[str, str] = {}
    pulled: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    counts: Counter[tuple[JobType, JobState]] = Counter()
    for request in requests:
        digest = request.digest
        state: JobState = "waiting"
        known = answer(digest) if making.isdisjoint(request.needs) else None
        if known:
            state, done[digest] = "done", known.run
            if known.precision:
                precisions[digest] = known.precision
            if known.pulled:
                pulled[digest] = known.pulled
        elif digest in running:
            state = "running"
        elif digest in broken and (failure := records.failure(digest)):
            state, failures[digest] = "failed", failure
        elif states and any(states.get(need) in ("failed", "blocked") for need in request.needs):
            state = "blocked"
        if state != "waiting":
            states[digest] = state
        if state in ("waiting", "running") and not request.language:
            making.add(digest)
        counts[request.type, state] += 1
    here = tuple(each for key, each in running.items() if key in states)
    return GridStatus(states, done, failures, here, counts, glance is not None, precisions, pulled)


def _by_looking(records: Records) -> Callable[[str], Answer | None]:
    """A function that returns the answer to a request, after a look at the run's files."""
    finished = records.names()

    def answer(request: str) -> Answer | None:
        record = records.done(request) if request in finished else None
        return Answer(record.run, record.precision, record.pulled) if record else None

    return answer
