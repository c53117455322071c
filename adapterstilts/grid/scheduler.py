"""Runs the open jobs of a grid on an executor, each as soon as the results that it needs exist."""

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
from adapterstilts.grid.process_executor import ProcessExecutor, WorkerSettings, worker_environments
from adapterstilts.grid.ready_queue import ReadyQueue
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.remote_records import open_records
from adapterstilts.grid.status import GridStatus, read_status
from adapterstilts.grid.worker import JobOutcome, Worker

POLL_SECONDS = 0.3  # interval at which jobs of other programs are checked
MAX_LOSSES = 3  # lost workers after which a job counts as failed


class ProgressListener(Protocol):
    """Receives the events of a grid run."""

    def on_start(self, status: GridStatus) -> None:
        """The run starts from this status."""

    def on_job_started(self, job: JobSpec) -> None:
        """A job was submitted."""

    def on_job_finished(self, job: JobSpec, record: Record) -> None:
        """A job has a result."""

    def on_job_failed(self, job: JobSpec, failure: Failure) -> None:
        """A job has no result; the jobs that need it are blocked."""

    def on_message(self, digest: str, message: str) -> None:
        """A running job, identified by its digest, printed a line; "" if the line is of no job."""


class Executor(Protocol):
    """Workers that run one job each at a time. Leaving the context ends them."""

    @property
    def size(self) -> int:
        """Number of jobs that can run at once."""

    def submit(self, job: JobSpec) -> Future[JobOutcome]:
        """Runs a job on a free worker; the future fails with `BrokenExecutor` if the worker dies."""

    def __enter__(self) -> Self:
        """Starts the executor."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the workers; after an error, busy ones save a checkpoint first."""


@dataclass
class InlineExecutor:
    """Runs jobs in this process, one at a time."""

    worker: Worker
    size: int = 1

    def submit(self, job: JobSpec) -> Future[JobOutcome]:
        """Runs the job before it returns."""
        future: Future[JobOutcome] = Future()
        # An error, KeyboardInterrupt above all, is raised here and not kept in the future.
        future.set_result(self.worker.run_job(job))
        return future

    def __enter__(self) -> Self:
        """Does nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing."""


@dataclass
class Scheduler:
    """Runs jobs in the order of their priority and dependencies.

    Attributes:
        executor: Workers that run the jobs.
        records: Records of the store.
        listener: Receiver of progress events.
        finished: Records of the jobs that this scheduler ran.
        failed: Failures of the jobs that this scheduler ran.
    """

    executor: Executor
    records: Records
    listener: ProgressListener
    finished: list[Record] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    _running: dict[Future[JobOutcome], JobSpec] = field(default_factory=dict)
    _deferred: list[JobSpec] = field(default_factory=list)  # jobs that another program is running
    _losses: Counter[str] = field(default_factory=Counter)  # digest -> number of lost workers

    def run(self, jobs: Iterable[JobSpec], retry_failed: bool = False, recheck: bool = False) -> GridStatus:
        """Runs all open jobs. It waits for jobs that another program is running.

        Args:
            jobs: Jobs, each after those that it needs.
            retry_failed: Whether to retry jobs that failed before.
            recheck: Whether to read all data again. A result is recomputed only if its data changed.

        Returns:
            The status after the run.

        Raises:
            StoreError, OSError: The store cannot be written.
            KeyboardInterrupt: The run was interrupted. The same call resumes it.
        """
        jobs = list(jobs)
        for job in jobs:
            if retry_failed:
                self.records.forget_failure(job.digest)
            if recheck:
                self.records.mark_for_recheck(job.digest)
        status = read_status(jobs, self.records)
        self.listener.on_start(status)
        queue = ReadyQueue(jobs, status.runs, status.failures)
        with self.executor:
            while queue:
                idle = False  # whether a worker is free and no job is ready for it
                while not idle and len(self._running) < self.executor.size:
                    ready_job = queue.next_job()
                    if ready_job is None:
                        idle = True
                        continue
                    self.listener.on_job_started(ready_job)
                    self._running[self.executor.submit(ready_job)] = ready_job
                # Polling is needed only if a free worker could run a job that another program gave up.
                poll = idle and bool(self._deferred)
                self._collect(queue, POLL_SECONDS if poll else None)
                if poll:
                    for job in self._deferred:
                        queue.put_back(job)
                    self._deferred.clear()
        return read_status(jobs, self.records)

    def _collect(self, queue: ReadyQueue, timeout: float | None) -> None:
        """Waits for a job to end, at most `timeout` seconds, and records the outcomes."""
        if not self._running:
            time.sleep(timeout or 0.0)
            return
        ended = wait(self._running, timeout, FIRST_COMPLETED).done
        for future in ended:
            job = self._running.pop(future)
            try:
                outcome = future.result()
            except BrokenExecutor:
                outcome = self._handle_lost_worker(job)
            result = outcome.result
            if result is None:
                self._deferred.append(job)
            elif isinstance(result, Record):
                queue.mark_finished(job.digest)
                if outcome.ran:
                    self.finished.append(result)
                self.listener.on_job_finished(job, result)
            else:
                queue.mark_failed(job.digest)
                if outcome.ran:
                    self.failed.append(result)
                self.listener.on_job_failed(job, result)

    def _handle_lost_worker(self, job: JobSpec) -> JobOutcome:
        """Defers a job whose worker died without an error; after several losses the job has failed."""
        self._losses[job.digest] += 1
        if self._losses[job.digest] < MAX_LOSSES:
            self.listener.on_message(job.digest, f"lost the worker of {job.name}: retrying on another one")
            return JobOutcome(None)
        message = f"lost its worker {MAX_LOSSES} times, as happens when the machine runs out of memory"
        return JobOutcome(self.records.record_failure(job, message, ""), ran=True)


def executor_for(
    settings: WorkerSettings, processes: int | None, on_message: Callable[[str, str], None]
) -> Executor:
    """Returns an executor on this machine: several processes, or this process if one suffices.

    Args:
        settings: Store and checkpoint intervals.
        processes: Number of processes. The default is one for each GPU, else one for each core.
        on_message: Receiver of the workers' messages; see `Worker`.
    """
    environments = worker_environments(processes, torch.cuda.device_count())
    if len(environments) > 1:
        return ProcessExecutor(settings, environments, on_message)
    records = open_records(settings.store, list_all=False)
    return InlineExecutor(Worker(records, settings.checkpoint_minutes, settings.checkpoint_steps, on_message))
