"""Makes the result of one request: the only part of the grid that knows models."""

from __future__ import annotations

import errno
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from adapterstilts.errors import DamagedError, StiltsError, StoreError
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import Cost, Failure, Record, Records
from adapterstilts.kinds.registry import effective
from adapterstilts.run.device import accelerator, free_memory, out_of_memory, resolve_precision
from adapterstilts.run.evaluate import evaluate
from adapterstilts.run.options import Options
from adapterstilts.run.progress import say, speaking_to
from adapterstilts.run.train import compose
from adapterstilts.store import Damaged, Run, Store
from adapterstilts.store.files import JOB, is_full
from adapterstilts.store.runs import check
from adapterstilts.tasks import registry
from adapterstilts.tasks.multitask import split_name

FATAL = {errno.EACCES, errno.EPERM, errno.EROFS}  # of the results folder: no other job would fare better


@dataclass(frozen=True)
class JobOutcome:
    """What came of asking for a request.

    Attributes:
        found: its result or failure; None while another process is making it.
        here: it was made by this call.
    """

    found: Record | Failure | None
    here: bool = False


@dataclass(frozen=True)
class Worker:
    """Makes results in one store; the backbone is kept from one request to the next.

    Attributes:
        listen: receives every line that is said meanwhile, after the digest of its request; None leaves them
            on standard error.
    """

    records: Records
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None
    listen: Callable[[str, str], None] | None = None

    def attempt(self, request: JobSpec) -> JobOutcome:
        """Makes the result unless it is there, or another process is making it; see `perform`."""
        with self.records.claim(request) as mine:
            if not mine:
                return JobOutcome(None)
            record = self.records.done(request.digest)
            if record and not self._current(record, request):
                record = None
            known = record or self.records.failure(request.digest)
            return JobOutcome(known) if known else JobOutcome(self.perform(request), here=True)

    def _current(self, record: Record, request: JobSpec) -> bool:
        """Whether a result was made from what its needs are now: one of them may have been made again."""
        job = json.loads((self.records.store / record.run / JOB).read_bytes())
        made_from = [job["run"]] if request.language else job["composition"]["sources"]
        try:
            return made_from == [need.key for need in self._needs(request)]
        except StoreError:
            return False  # and making it says why

    def perform(self, request: JobSpec) -> Record | Failure:
        """Makes the result, or finds it in the store; a failure is recorded with its traceback.

        Where something that it is made from is damaged, that is recorded: the next call makes it again.

        Raises:
            StoreError, OSError: nothing can be written to the store.
            KeyboardInterrupt: training wrote a checkpoint first.
        """
        try:
            with speaking_to(_console(request.digest, self.listen)):
                return self._perform(request)
        except Exception as error:
            if _fatal(error, self.records.store):
                raise
            if isinstance(error, DamagedError) and self._doubt(error.run):
                why = f"{error.run} is damaged: the next `grid run` makes it, and then this, again"
                return Failure(request.digest, request.name, why, "", "")
            message = str(error) if isinstance(error, StiltsError) else f"{type(error).__name__}: {error}"
            return self.records.fail(request, message, traceback.format_exc())

    def _doubt(self, run: str) -> bool:
        """Marks the records of a run as damaged; false where there are none."""
        found = [record for record in self.records.all() if record.run == run]
        for record in found:
            self.records.write(replace(record, damaged=True))
        return bool(found)

    def _perform(self, request: JobSpec) -> Record:
        self._clear(request)
        try:
            return self._make(request)
        except DamagedError as error:
            if not error.wanted:
                raise
            say(f"{error.run} is damaged: it is made again")
            Store(self.records.store).remove(error.run)
            return self._make(request)

    def _make(self, request: JobSpec) -> Record:
        before = set(os.listdir(self.records.store)) if self.records.store.is_dir() else set()
        began = time.monotonic()
        run, accumulation = self._evaluate(request) if request.language else self._train(request)
        seconds = None if run.id in before else _seconds(run, time.monotonic() - began)
        return self.records.finish(request, run, Cost(seconds, _examples(request, run), accumulation))

    def _clear(self, request: JobSpec) -> None:
        """Removes a damaged result, which would be in the way."""
        record = self.records.read(request.digest)
        if record is None:
            return
        folder = self.records.store / record.run
        if folder.is_dir() and isinstance(check(folder), Damaged):
            say(f"{record.run} is damaged: it is made again")
            Store(self.records.store).remove(record.run)

    def _train(self, request: JobSpec) -> tuple[Run, int]:
        """The run and the accumulation that it was trained with: more than asked for if memory was short."""
        sources = self._sources(request)
        hyperparameters = request.settings.hyperparameters
        known = self.records.read(request.digest)
        first = max(
            hyperparameters.accumulation if hyperparameters else 1, known.accumulation if known else 1
        )
        sizes = list(_accumulations(first, hyperparameters.batch_size)) if hyperparameters else [1]
        for accumulation in sizes:
            options = self._options(request, {"accumulation": accumulation} if hyperparameters else {})
            try:
                return compose(request.task, request.composition, sources, options), accumulation
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error) or accumulation == sizes[-1]:
                    raise
            free_memory()  # here, where the error and all that it holds is gone
            say(f"out of memory: {request.name} goes on with {2 * accumulation} forward passes a batch, not "
                f"{accumulation}; the batch as a whole stays as it is")  # fmt: skip
        raise AssertionError("one of the sizes was the last")

    def _evaluate(self, request: JobSpec) -> tuple[Run, int]:
        (run,) = self._sources(request)
        split = request.split or None
        found = evaluate(run, request.task, [request.language], self._options(request, {}), split)
        return found[0].runs[request.language], 1

    def _sources(self, request: JobSpec) -> Sequence[str]:
        """Ids of the runs that answer what it needs."""
        return [need.run for need in self._needs(request)]

    def _needs(self, request: JobSpec) -> Sequence[Record]:
        """The records of what it needs, whose runs are in the folder then.

        Raises:
            StoreError: one of them is gone since the request was given.
        """
        found = [self.records.bring(need) for need in request.needs]
        if None in found:
            raise StoreError(
                f"what {request.name} is made from is not recorded any more: give --retry-failed"
            )
        return [record for record in found if record]

    def _options(self, request: JobSpec, hyperparameters: dict[str, int]) -> Options:
        given = request.settings.options()
        kinds = [registry.get(name).kind for name in split_name(request.task)]
        given["encoding"] = effective(kinds, given.get("encoding", {}))  # a recipe has them for all its tasks
        if hyperparameters:
            given["hyperparameters"] = {**given["hyperparameters"], **hyperparameters}
        saving = {"checkpoint_minutes": self.checkpoint_minutes, "checkpoint_steps": self.checkpoint_steps}
        return Options.parse({**given, **saving, "seed": request.seed, "store": self.records.store}, "option")


def _accumulations(first: int, batch: int) -> Iterator[int]:
    """The accumulation asked for and then twice as much each time, as long as every part has an example."""
    yield first
    while 2 * first <= batch:
        first *= 2
        yield first


def device_name() -> str:
    """What computes here."""
    device = accelerator().device
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type}, {torch.get_num_threads()} threads"


def auto_precision() -> str:
    """The precision that `auto` stands for here."""
    return resolve_precision("auto")


def _examples(request: JobSpec, run: Run) -> int | None:
    if request.language:
        return int(run.metrics["examples"])
    hyperparameters = request.settings.hyperparameters
    return int(run.metrics["steps"]) * hyperparameters.batch_size if hyperparameters else None


def _seconds(run: Run, wall: float) -> float:
    """What a run took: of a training that was interrupted, the time of all sittings."""
    log = run.path / "log.jsonl"
    last = log.read_text("utf-8").splitlines()[-1] if log.is_file() else "{}"
    return round(max(wall, float(json.loads(last).get("seconds", 0.0))), 3)


def _fatal(error: BaseException, store: Path) -> bool:
    """Whether the results cannot be written at all."""
    if is_full(error) or (error.__cause__ is not None and is_full(error.__cause__)):
        return True
    if not isinstance(error, OSError) or error.errno not in FATAL or not error.filename:
        return False
    return Path(str(error.filename)).resolve().is_relative_to(store.resolve())


class _Lines:
    """A file whose lines go to a function."""

    def __init__(self, listen: Callable[[str], None]):
        self._listen = listen

    def write(self, text: str) -> int:
        for line in filter(None, map(str.strip, text.splitlines())):
            self._listen(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _console(digest: str, listen: Callable[[str, str], None] | None) -> Console | None:
    return Console(file=_Lines(partial(listen, digest)), width=10_000) if listen else None  # type: ignore[arg-type]
