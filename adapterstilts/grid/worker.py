"""Runs one job of a grid: the only part of the grid that loads models."""

from __future__ import annotations

import errno
import json
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from adapterstilts.composition import make
from adapterstilts.errors import DamagedError, StiltsError, StoreError
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import Cost, Failure, Record, Records
from adapterstilts.kinds.registry import effective
from adapterstilts.run.device import free_memory, out_of_memory, resolve_precision
from adapterstilts.run.evaluate import evaluate
from adapterstilts.run.options import EvaluationOptions, TrainingOptions
from adapterstilts.run.progress import say, speaking_to
from adapterstilts.run.train import compose
from adapterstilts.store import Damaged, Run, Store
from adapterstilts.store.files import is_full
from adapterstilts.store.runs import check
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import split_name

# If the results folder gives one of these, every other job would fail in the same way.
FATAL = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class JobOutcome:
    """Outcome of one call of `Worker.run_job`.

    Attributes:
        result: Record or failure of the job. None if another process is running it.
        ran: Whether the job ran in this call.
    """

    result: Record | Failure | None
    ran: bool = False


@dataclass(frozen=True)
class Worker:
    """Runs the jobs of one store; the backbone stays loaded between jobs.

    Attributes:
        records: Records of the store.
        checkpoint_minutes: Minutes between checkpoints of a training.
        checkpoint_steps: Optimizer steps between checkpoints of a training.
        on_message: Receiver of each message, after the digest of its job. None prints to standard error.
    """

    records: Records
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None
    on_message: Callable[[str, str], None] | None = None

    def run_job(self, job: JobSpec) -> JobOutcome:
        """Runs a job unless it has a result or failure, or another process is running it.

        A failure is recorded with its traceback. If a run that the job depends on turns out to be damaged,
        that is recorded instead, so that the next `grid run` repairs it.

        Raises:
            StoreError, OSError: The store cannot be written.
            KeyboardInterrupt: The job was interrupted. A training wrote a checkpoint first.
        """
        with self.records.claim(job) as claimed:
            if not claimed:
                return JobOutcome(None)
            # Another program may have finished the job since it was queued, so look again under the claim.
            if (record := self.records.find_finished(job.digest)) and self._is_current(record, job):
                return JobOutcome(record)
            if failure := self.records.read_failure(job.digest):
                return JobOutcome(failure)
            try:
                with speaking_to(_console(job.digest, self.on_message)):
                    return JobOutcome(self._compute(job), ran=True)
            except Exception as error:
                if _is_fatal(error, self.records.store):
                    raise
                return JobOutcome(self._record_failure(job, error), ran=True)

    def _is_current(self, record: Record, job: JobSpec) -> bool:
        """Whether a result was made from the present runs of its sources: one may have been retrained."""
        run = check(self.records.store / record.run, quick=True)
        try:
            return isinstance(run, Run) and list(run.parents) == [source.key for source in self._sources(job)]
        except StoreError:
            return False  # computing the job reports the missing source

    def _compute(self, job: JobSpec) -> Record:
        """Trains or evaluates, and records the result. Out of memory, it doubles the accumulation."""
        self._remove_damaged_run(job)
        store = self.records.store
        existing = set(os.listdir(store)) if store.is_dir() else set()
        start, repaired = time.monotonic(), False
        sources = [source.run for source in self._sources(job)]
        accumulation, batch_size = self._accumulation(job)
        while True:
            options = self._options(job, accumulation)
            try:
                if isinstance(options, EvaluationOptions):
                    evaluation = evaluate(sources[0], job.task, [job.language], options, job.split or None)
                    run = evaluation[0].runs[job.language]
                else:
                    run = compose(job.task, make(job.composition, sources), options)
                break
            except DamagedError as error:
                # `requested`: the job's own result, found by its key, is damaged, not one of its sources.
                if not error.requested or repaired:
                    raise
                say(f"{error.run} is damaged: recomputing it")
                Store(store).remove(error.run)
                existing.discard(error.run)
                start, repaired = time.monotonic(), True
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error) or 2 * accumulation > batch_size:
                    raise
                accumulation *= 2
                say(f"out of memory: retrying {job.name} with accumulation {accumulation} (the effective "
                    "batch size is unchanged)")  # fmt: skip
            # Only here, outside of the handler, is the error gone whose frames hold the tensors.
            free_memory()
        seconds = None if run.id in existing else _seconds(run, time.monotonic() - start)
        return self.records.record_result(job, run, Cost(seconds, _examples(job, run), accumulation))

    def _record_failure(self, job: JobSpec, error: Exception) -> Failure:
        """Records a failure, or marks the damaged run that caused it for a recheck."""
        if isinstance(error, DamagedError):
            damaged = [record for record in self.records.read_all() if record.run == error.run]
            for record in damaged:
                self.records.write_record(replace(record, recheck=True))
            if damaged:
                # Not a recorded failure: the next `grid run` repairs the source and then runs this job.
                message = f"{error.run} is damaged: the next `grid run` recomputes it, and then this job"
                return Failure(job.digest, job.name, message, "", "")
        message = str(error) if isinstance(error, StiltsError) else f"{type(error).__name__}: {error}"
        return self.records.record_failure(job, message, traceback.format_exc())

    def _remove_damaged_run(self, job: JobSpec) -> None:
        """Removes the job's recorded run if it is damaged: a run is never published over another one."""
        record = self.records.read_record(job.digest)
        if record is None:
            return
        folder = self.records.store / record.run
        if folder.is_dir() and isinstance(check(folder), Damaged):
            say(f"{record.run} is damaged: recomputing it")
            Store(self.records.store).remove(record.run)

    def _accumulation(self, job: JobSpec) -> tuple[int, int]:
        """Forward passes per batch to start with, and the batch size, which is the most there can be."""
        hyperparameters = job.settings.hyperparameters
        if hyperparameters is None:
            return 1, 1
        # A job that ran out of memory once starts with the accumulation that worked.
        record = self.records.read_record(job.digest)
        accumulation = max(hyperparameters.accumulation, record.accumulation if record else 1)
        return accumulation, hyperparameters.batch_size

    def _sources(self, job: JobSpec) -> Sequence[Record]:
        """Returns the records of the job's sources, with their runs fetched into the store's folder.

        Raises:
            StoreError: A source was removed since the job was queued.
        """
        sources = [self.records.fetch_run(digest) for digest in job.needs]
        if None in sources:
            raise StoreError(f"a source of {job.name} was removed meanwhile: run again with --retry-failed")
        return [source for source in sources if source]

    def _options(self, job: JobSpec, accumulation: int) -> TrainingOptions | EvaluationOptions:
        """Returns the options of the job's verb."""
        options = job.settings.options()
        kinds = [get_task(name).kind for name in split_name(job.task)]
        # A grid config sets the encoding for all its tasks, but a verb refuses what its kind does not use.
        options["encoding"] = effective(kinds, options.get("encoding", {}))
        options |= {"seed": job.seed, "store": self.records.store}
        if job.language:
            return EvaluationOptions.parse(options, "option")
        if job.settings.hyperparameters:
            options["hyperparameters"] = {**options["hyperparameters"], "accumulation": accumulation}
        options |= {"checkpoint_minutes": self.checkpoint_minutes, "checkpoint_steps": self.checkpoint_steps}
        return TrainingOptions.parse(options, "option")


def auto_precision() -> str:
    """Returns the precision that `precision: auto` means on this machine."""
    return resolve_precision("auto")


def _examples(job: JobSpec, run: Run) -> int | None:
    """Examples that a job processed, repetitions included; None if nothing was trained."""
    if job.language:
        return int(run.metrics["examples"])
    hyperparameters = job.settings.hyperparameters
    return int(run.metrics["steps"]) * hyperparameters.batch_size if hyperparameters else None


def _seconds(run: Run, elapsed: float) -> float:
    """Seconds that a run took. The log of a resumed training also counts its earlier sessions."""
    log = run.path / "log.jsonl"
    last_line = log.read_text("utf-8").splitlines()[-1] if log.is_file() else "{}"
    return round(max(elapsed, float(json.loads(last_line).get("seconds", 0.0))), 3)


def _is_fatal(error: BaseException, store: Path) -> bool:
    """Whether no result can be written at all."""
    if is_full(error) or (error.__cause__ is not None and is_full(error.__cause__)):
        return True
    if not isinstance(error, OSError) or error.errno not in FATAL or not error.filename:
        return False
    return Path(str(error.filename)).resolve().is_relative_to(store.resolve())


class _MessageStream:
    """File-like object that passes each line to a function."""

    def __init__(self, on_line: Callable[[str], None]):
        self._on_line = on_line

    def write(self, text: str) -> int:
        for line in filter(None, map(str.strip, text.splitlines())):
            self._on_line(line)
        return len(text)

    def flush(self) -> None:
        """Does nothing: no text is buffered."""


def _console(digest: str, on_message: Callable[[str, str], None] | None) -> Console | None:
    if on_message is None:
        return None
    # A very large width keeps rich from wrapping a message, so that it stays one line.
    return Console(file=_MessageStream(partial(on_message, digest)), width=10_000)  # type: ignore[arg-type]
