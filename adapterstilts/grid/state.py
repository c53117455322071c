"""Where a grid stands: which of its requests are done, running, failed, blocked or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from adapterstilts.grid.records import Failure, Records, Running
from adapterstilts.grid.request import Request, RequestType

StateName = Literal["done", "running", "failed", "blocked", "waiting"]
STATES: tuple[StateName, ...] = ("done", "running", "failed", "blocked", "waiting")


@dataclass(frozen=True)
class State:
    """One look at a grid.

    Attributes:
        states: request digest -> where it stands; whatever is not there is waiting.
        runs: request digest -> the run that answers it.
        failures: by request digest.
        counts: how many requests of each type are where.
    """

    states: Mapping[str, StateName]
    runs: Mapping[str, str]
    failures: Mapping[str, Failure]
    running: tuple[Running, ...]
    counts: Mapping[tuple[RequestType, StateName], int]

    def of(self, request: Request) -> StateName:
        """Where a request stands; one that needs a failed one is blocked."""
        return self.states.get(request.digest, "waiting")

    def total(self, state: StateName) -> int:
        """How many requests are in this state."""
        return sum(number for (_, where), number in self.counts.items() if where == state)

    @property
    def all(self) -> int:
        """How many requests there are."""
        return sum(self.counts.values())

    def left(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Those of the requests that are yet to be made."""
        where = self.states.get
        return (each for each in requests if where(each.digest, "waiting") in ("running", "waiting"))


def look(requests: Iterable[Request], records: Records) -> State:
    """The state of these requests, which stand after those that they need; they may be very many."""
    finished, broken = records.names(), records.failed()
    running = {each.request: each for each in records.running()}
    states: dict[str, StateName] = {}
    making: set[str] = set()  # trainings that are to be made (again): what needs them may change with them
    done: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    counts: Counter[tuple[RequestType, StateName]] = Counter()
    for request in requests:
        digest = request.digest
        state: StateName = "waiting"
        record = records.done(digest) if digest in finished and making.isdisjoint(request.needs) else None
        if record:
            state, done[digest] = "done", record.run
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
    return State(states, done, failures, here, counts)
