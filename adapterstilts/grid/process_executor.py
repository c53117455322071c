"""Executor of processes on this machine: one for each GPU, else one for each few CPU cores.

On a CPU, several processes of one thread each run a grid of a small encoder faster than one process with all
threads (`benchmarks/processes.py`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from adapterstilts.grid.job_spec import JobSpec

if TYPE_CHECKING:
    from adapterstilts.grid.worker import JobOutcome, Worker

# Bytes of memory per process on a CPU; a small encoder needs half of it.
PROCESS_MEMORY = 2 * 2**30
# A forked process would inherit the threads' locks and the CUDA context of this one.
SPAWN = multiprocessing.get_context("spawn")
Flag = Any  # number in shared memory: 1 once the grid is to stop

# State of a worker process, set once by `_start_worker`; empty in the parent.
_WORKER: list[Worker] = []
_STOP: list[Flag] = []


@dataclass(frozen=True)
class WorkerSettings:
    """Settings that every worker of a grid run receives.

    Attributes:
        store: Folder or URL of the store.
        checkpoint_minutes: Minutes between checkpoints; see `Worker`.
        checkpoint_steps: Optimizer steps between checkpoints; see `Worker`.
    """

    store: Path | str
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None


def worker_environments(processes: int | None, gpus: int) -> list[Mapping[str, str]]:
    """Returns the environment variables of each process: its GPU, or its number of threads.

    Args:
        processes: Number of processes. The default is one for each GPU, else one for each core as far as the
            memory suffices.
        gpus: Number of GPUs that this process sees.
    """
    if gpus:
        # The visible GPUs keep their names: number 0 of this process may be number 4 of the machine.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = visible if len(visible) == gpus and all(visible) else [str(number) for number in range(gpus)]
        return [{"CUDA_VISIBLE_DEVICES": names[number % gpus]} for number in range(processes or gpus)]
    # A container or `taskset` may allow fewer cores than the machine has.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = processes or max(1, min(cores, _available_memory() // PROCESS_MEMORY))
    return [{"OMP_NUM_THREADS": str(max(1, cores // count))}] * count


class ProcessExecutor:
    """Runs jobs in processes, each of which loads a backbone."""

    def __init__(
        self,
        settings: WorkerSettings,
        environments: Sequence[Mapping[str, str]],
        on_message: Callable[[str, str], None],
    ):
        # Without a lock: a killed process would keep it for ever.
        self._stop = SPAWN.RawValue("b", 0)
        self._workers = [
            _WorkerHandle(settings, environment, self._stop, on_message) for environment in environments
        ]

    @property
    def size(self) -> int:
        """Number of processes."""
        return len(self._workers)

    def submit(self, job: JobSpec) -> Future[JobOutcome]:
        """Runs a job in a free process."""
        return next(worker for worker in self._workers if worker.is_free).submit(job)

    def __enter__(self) -> Self:
        """Does nothing: each process starts with its first job."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the processes; after an error, those that train write a checkpoint first."""
        if error is not None:
            # The flag is for processes that still import and ignore the signal.
            self._stop.value = 1
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGINT)
        for worker in self._workers:
            worker.end()


class _WorkerHandle:
    """One process, replaced if it dies. Its messages come through a pipe that no other process uses."""

    def __init__(
        self,
        settings: WorkerSettings,
        environment: Mapping[str, str],
        stop: Flag,
        on_message: Callable[[str, str], None],
    ):
        self._arguments = (settings, environment, stop)
        self._on_message = on_message
        self._future: Future[JobOutcome] | None = None
        self._start()

    @property
    def is_free(self) -> bool:
        return self._future is None or self._future.done()

    def submit(self, job: JobSpec) -> Future[JobOutcome]:
        try:
            self._future = self._process.submit(_run_job, job)
        except BrokenExecutor:
            self._start()
            self._future = self._process.submit(_run_job, job)
        # The process holds this end of the pipe now. Closed here, it closes for good when the process dies,
        # which ends the thread that reads it.
        self._sender.close()
        return self._future

    def end(self) -> None:
        self._process.shutdown(cancel_futures=True)
        self._sender.close()
        self._reader.join()

    def _start(self) -> None:
        receiver, self._sender = SPAWN.Pipe(duplex=False)
        self._process = ProcessPoolExecutor(1, SPAWN, _start_worker, (*self._arguments, self._sender))
        self._reader = threading.Thread(
            target=_forward_messages, args=(receiver, self._on_message), daemon=True
        )
        self._reader.start()


def _forward_messages(receiver: Connection, on_message: Callable[[str, str], None]) -> None:
    with receiver:
        while True:
            try:
                message = receiver.recv()
            except (EOFError, OSError):  # the process ended, perhaps in the middle of a message
                return
            on_message(*message)


def _start_worker(
    settings: WorkerSettings, environment: Mapping[str, str], stop: Flag, sender: Connection
) -> None:
    """Makes this process a worker, which leaves Ctrl-C to its parent and ends with it."""
    # Before torch is imported, which reads these variables once.
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):
        # The terminal sends Ctrl-C to its whole process group. Outside of it, a worker gets it once, from the
        # parent.
        os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from adapterstilts.grid.remote_records import open_records
    from adapterstilts.grid.worker import Worker

    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", torch.get_num_threads())))

    def on_message(digest: str, message: str) -> None:
        with suppress(BrokenPipeError):  # the parent is gone
            sender.send((digest, message))

    _STOP.append(stop)
    records = open_records(settings.store, list_all=False)
    _WORKER.append(Worker(records, settings.checkpoint_minutes, settings.checkpoint_steps, on_message))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        # `sys.exit` would end this thread only.
        os._exit(1)


def _run_job(job: JobSpec) -> JobOutcome:
    """Runs a job in this process. Meanwhile SIGINT interrupts it."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if _STOP[0].value:  # SIGINT came while it was ignored
            raise KeyboardInterrupt
        return _WORKER[0].run_job(job)
    finally:
        signal.signal(signal.SIGINT, handler)


def _available_memory() -> int:
    """Bytes of available memory as Linux reports them; elsewhere half of the machine's memory."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
