"""The engine: hands out what is left of a grid to a crew of workers until nothing is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import torch

from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.process_executor import ProcessExecutor, WorkerSettings, places
from adapterstilts.grid.ready_queue import ReadyQueue
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.remote_records import records_of
from adapterstilts.grid.status import GridStatus, look
from adapterstilts.grid.worker import JobOutcome, Worker

PAUSE = 0.3  # seconds between looks at what other programs are making
LOSSES = 3  # times that a request may take its worker down


class ProgressListener(Protocol):
    """Who is told what happens."""

    def begun(self, state: GridStatus) -> None:
        """Work begins here."""

    def started(self, request: JobSpec) -> None:
        """It is being made now."""

    def finished(self, request: JobSpec, record: Record) -> None:
        """It is done."""

    def failed(self, request: JobSpec, failure: Failure) -> None:
        """It has no result; what needs it is blocked."""

    def said(self, digest: str, line: str) -> None:
        """A line of the request with this digest."""


class Executor(Protocol):
    """Workers that make one request each at a time; leaving it ends them."""

    @property
    def size(self) -> int:
        """How many requests can be made at once."""

    def give(self, request: JobSpec) -> Future[JobOutcome]:
        """Has a free worker make it; the future fails with `BrokenExecutor` if the worker dies."""

    def __enter__(self) -> Self:
        """Makes it ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the workers; after an error those that are busy save what they have first."""


@dataclass
class InlineExecutor:
    """A crew of one worker: this process itself."""

    worker: Worker
    size: int = 1

    def give(self, request: JobSpec) -> Future[JobOutcome]:
        """Makes it right here."""
        future: Future[JobOutcome] = Future()
        future.set_result(self.worker.attempt(request))
        return future

    def __enter__(self) -> Self:
        """Nothing is to be done."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is to be done."""


@dataclass
class Scheduler:
    """Has requests made in order, each as soon as what it needs is there.

    Attributes:
        finished, failed: what this crew made, and where it failed.
    """

    crew: Executor
    records: Records
    watch: ProgressListener
    finished: list[Record] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    _busy: dict[Future[JobOutcome], JobSpec] = field(default_factory=dict)
    _aside: list[JobSpec] = field(default_factory=list)
    _losses: Counter[str] = field(default_factory=Counter)

    def run(
        self, requests: Iterable[JobSpec], retry_failed: bool = False, recheck: bool = False
    ) -> GridStatus:
        """Makes what is left; requests that another program is making are waited for, not made again.

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
                self.records.doubt(request.digest)
        state = look(everything, self.records)
        self.watch.begun(state)
        order = ReadyQueue(everything, state.runs, state.failures)
        with self.crew:
            while order:
                if self._hand_out(order):
                    self._collect(order, None)
                    continue
                self._collect(order, PAUSE)
                for request in self._aside:
                    order.again(request)
                self._aside.clear()
        return look(everything, self.records)

    def _hand_out(self, order: ReadyQueue) -> bool:
        """Gives every free worker something to do; false if there is too little."""
        while len(self._busy) < self.crew.size:
            request = order.next()
            if request is None:
                return not self._aside
            self.watch.started(request)
            self._busy[self.crew.give(request)] = request
        return True

    def _collect(self, order: ReadyQueue, seconds: float | None) -> None:
        """Waits until something is done, but no longer than that."""
        if not self._busy:
            time.sleep(seconds or 0.0)
            return
        done, _ = wait(self._busy, seconds, FIRST_COMPLETED)
        for future in done:
            self._settle(order, self._busy.pop(future), future)

    def _settle(self, order: ReadyQueue, request: JobSpec, future: Future[JobOutcome]) -> None:
        try:
            attempt = future.result()
        except BrokenExecutor:
            attempt = self._after_loss(request)
        found = attempt.found
        if found is None:
            self._aside.append(request)
        elif isinstance(found, Record):
            order.finish(request.digest)
            if attempt.here:
                self.finished.append(found)
            self.watch.finished(request, found)
        else:
            order.lose(request.digest)
            if attempt.here:
                self.failed.append(found)
            self.watch.failed(request, found)

    def _after_loss(self, request: JobSpec) -> JobOutcome:
        """A worker died of something else than an error: the request is given again, but not for ever."""
        self._losses[request.digest] += 1
        if self._losses[request.digest] < LOSSES:
            self.watch.said(request.digest, f"the worker of {request.name} was lost; another one goes on")
            return JobOutcome(None)
        why = f"its worker was lost {LOSSES} times, as happens when the machine runs out of memory"
        return JobOutcome(self.records.fail(request, why, ""), here=True)


def executor_for(
    saving: WorkerSettings, processes: int | None, listen: Callable[[str, str], None]
) -> Executor:
    """A crew of this machine: several processes, or this one alone where there would be one.

    Args:
        processes: how many; by default one for each GPU, else one for each core.
        listen: receives what the workers say; see `Worker`.
    """
    found = places(processes, torch.cuda.device_count())
    if len(found) > 1:
        return ProcessExecutor(saving, found, listen)
    records = records_of(saving.store, view=False)
    return InlineExecutor(Worker(records, saving.checkpoint_minutes, saving.checkpoint_steps, listen))
