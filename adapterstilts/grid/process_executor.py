"""A crew of processes on this machine: one for each GPU, else one for each few CPU cores.

On a CPU, processes of one thread each make a grid of a small encoder faster than one process with all threads
(`benchmarks/processes.py`).
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

MEMORY = 2 * 2**30  # bytes that a process on a CPU is given by default; a small encoder takes half of it
SPAWN = multiprocessing.get_context("spawn")
Flag = Any  # a shared number: 1 once the grid is to stop

_WORKER: list[Worker] = []  # of this process, once it is a worker
_STOP: list[Flag] = []


@dataclass(frozen=True)
class WorkerSettings:
    """The store (a folder or a URL), and how often unfinished trainings are saved; see `Worker`."""

    store: Path | str
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None


def places(processes: int | None, gpus: int) -> list[Mapping[str, str]]:
    """The environment of each process: its GPU, or its number of threads.

    Args:
        processes: how many; by default one for each GPU, else one for each core as far as memory allows.
        gpus: how many this process sees.
    """
    if gpus:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = seen if len(seen) == gpus and all(seen) else [str(number) for number in range(gpus)]
        return [{"CUDA_VISIBLE_DEVICES": names[number % gpus]} for number in range(processes or gpus)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = processes or max(1, min(cores, _memory() // MEMORY))
    return [{"OMP_NUM_THREADS": str(max(1, cores // number))}] * number


class ProcessExecutor:
    """Processes that make one request each at a time, every one with a backbone of its own."""

    def __init__(
        self, saving: WorkerSettings, where: Sequence[Mapping[str, str]], listen: Callable[[str, str], None]
    ):
        self._stop = SPAWN.RawValue("b", 0)  # has no lock that a killed process could keep
        self._hands = [_WorkerHandle(saving, place, self._stop, listen) for place in where]

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self._hands)

    def give(self, request: JobSpec) -> Future[JobOutcome]:
        """Has a free process make it."""
        return next(hand for hand in self._hands if hand.free).give(request)

    def __enter__(self) -> Self:
        """The processes start when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the processes; after an error those that train write a checkpoint first."""
        if error is not None:
            self._stop.value = 1  # for those that are not ready to be interrupted yet
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGINT)
        for hand in self._hands:
            hand.end()


class _WorkerHandle:
    """One process, and a new one if it dies; what it says comes through a pipe of its own."""

    def __init__(
        self, saving: WorkerSettings, place: Mapping[str, str], stop: Flag, listen: Callable[[str, str], None]
    ):
        self._given = (saving, place, stop)
        self._listen = listen
        self._future: Future[JobOutcome] | None = None
        self._start()

    @property
    def free(self) -> bool:
        return self._future is None or self._future.done()

    def give(self, request: JobSpec) -> Future[JobOutcome]:
        try:
            self._future = self._process.submit(_attempt, request)
        except BrokenExecutor:
            self._start()
            self._future = self._process.submit(_attempt, request)
        self._mouth.close()  # the process has it: when that ends, so does what is heard
        return self._future

    def end(self) -> None:
        self._process.shutdown(cancel_futures=True)
        self._mouth.close()
        self._listener.join()

    def _start(self) -> None:
        heard, self._mouth = SPAWN.Pipe(duplex=False)
        self._process = ProcessPoolExecutor(1, SPAWN, _become_worker, (*self._given, self._mouth))
        self._listener = threading.Thread(target=_pass_on, args=(heard, self._listen), daemon=True)
        self._listener.start()


def _pass_on(heard: Connection, listen: Callable[[str, str], None]) -> None:
    with heard:
        while True:
            try:
                said = heard.recv()
            except (EOFError, OSError):  # the process ended, perhaps in the middle of a line
                return
            listen(*said)


def _become_worker(saving: WorkerSettings, place: Mapping[str, str], stop: Flag, mouth: Connection) -> None:
    """Makes this process a worker: alone with Ctrl-C left to its parent, and gone when that is."""
    os.environ.update(place)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # the terminal's Ctrl-C goes to the parent, who passes it on once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from adapterstilts.grid.remote_records import records_of
    from adapterstilts.grid.worker import Worker

    torch.set_num_threads(int(place.get("OMP_NUM_THREADS", torch.get_num_threads())))

    def listen(digest: str, line: str) -> None:
        with suppress(BrokenPipeError):  # nobody listens
            mouth.send((digest, line))

    _STOP.append(stop)
    records = records_of(saving.store, view=False)
    _WORKER.append(Worker(records, saving.checkpoint_minutes, saving.checkpoint_steps, listen))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)


def _attempt(request: JobSpec) -> JobOutcome:
    """Makes a request in this process; while it does, SIGINT means to stop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if _STOP[0].value:  # SIGINT came before this process was ready for it
            raise KeyboardInterrupt
        return _WORKER[0].attempt(request)
    finally:
        signal.signal(signal.SIGINT, before)


def _memory() -> int:
    """Bytes of memory that can be had, by what Linux says; elsewhere half of all there is."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
