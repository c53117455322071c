"""The local engine: one process makes what is left of a grid; several of them share the work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.request import Request
from adapterstilts.grid.state import State, look
from adapterstilts.grid.worker import Worker

PAUSE = 0.3  # seconds between looks at what other processes are making


class Watch(Protocol):
    """Who is told what happens."""

    def started(self, request: Request) -> None:
        """It is being made now."""

    def finished(self, request: Request, record: Record) -> None:
        """It is done."""

    def failed(self, request: Request, failure: Failure) -> None:
        """It has no result; what needs it is blocked."""


@dataclass
class Engine:
    """Makes requests in order, each as soon as what it needs is there.

    Attributes:
        finished, failed: what this process made, and where it failed.
        done: all that is done, whoever made it.
        lost: failed here or elsewhere, or blocked.
    """

    worker: Worker
    records: Records
    watch: Watch
    finished: list[Record] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def run(self, requests: Iterable[Request], retry_failed: bool = False, recheck: bool = False) -> State:
        """Makes what is left; requests that another process is making are waited for, not made again.

        Args:
            requests: each after those that it needs.
            retry_failed: try again what failed before.
            recheck: read the data of everything again; a result is made again only if its data changed.

        Raises:
            StoreError, OSError: nothing can be written to the store.
            KeyboardInterrupt: the same call goes on from there.
        """
        everything = list(requests)
        for request in everything:
            if retry_failed:
                self.records.forgive(request.digest)
            if recheck:
                self.records.forget(request.digest)
        state = look(everything, self.records)
        self.done = set(state.records)
        self.lost = set(state.failures)
        left = [request for request in everything if request.digest not in self.done | self.lost]
        while left:
            later = [request for request in left if not self._settled(request)]
            if len(later) == len(left):
                time.sleep(PAUSE)
            left = later
        return look(everything, self.records)

    def _settled(self, request: Request) -> bool:
        """Whether nothing is left to be done about it; makes it, if it is its turn."""
        if self.lost.intersection(request.needs):
            self.lost.add(request.digest)
            return True
        if not self.done.issuperset(request.needs):
            return False
        with self.records.claim(request) as mine:
            return mine and self._make(request)

    def _make(self, request: Request) -> bool:
        if self.records.done(request.digest):  # another process was faster
            self.done.add(request.digest)
            return True
        if self.records.failure(request.digest):
            self.lost.add(request.digest)
            return True
        self.watch.started(request)
        outcome = self.worker.perform(request)
        if isinstance(outcome, Record):
            self.done.add(request.digest)
            self.finished.append(outcome)
            self.watch.finished(request, outcome)
        else:
            self.lost.add(request.digest)
            self.failed.append(outcome)
            self.watch.failed(request, outcome)
        return True
