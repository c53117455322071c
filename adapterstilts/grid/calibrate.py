"""Times a few real steps for each kind of task in a plan, on this machine, with the worker itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch

from adapterstilts.grid.availability import DataSearch, pin_to_local_data
from adapterstilts.grid.estimate import Rates
from adapterstilts.grid.job_spec import JobSpec, evaluations, training
from adapterstilts.grid.plan import Cell, Plan
from adapterstilts.grid.process_executor import worker_environments
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.worker import Worker
from adapterstilts.run.device import accelerator, free_memory
from adapterstilts.run.host_cache import cached_host
from adapterstilts.store.origin import TrainOrigin


class _Probe(NamedTuple):
    """Amount of work that a calibration times.

    Attributes:
        steps: Optimizer steps of a training.
        short_rows: Rows of the shorter evaluation.
        long_rows: Rows of the longer evaluation. The difference in time is the cost of the extra rows.
        offline: Whether to time only what needs no download, on as few rows as possible.
    """

    steps: int
    short_rows: int
    long_rows: int
    offline: bool = False


FULL = _Probe(20, 32, 160)
QUICK = _Probe(6, 8, 56, offline=True)


def calibrate(
    plan: Plan,
    records: Records,
    search: DataSearch,
    on_message: Callable[[str], None],
    probe: _Probe = FULL,
    backbones: Iterable[str] | None = None,
) -> Mapping[str, Rates]:
    """Times the backbones of a plan and stores the rates beside the records for later estimates.

    Args:
        plan: Plan of the grid.
        records: Records of the store that keeps the rates.
        search: Search for data that made the plan.
        on_message: Receiver of one message per kind: its speed, or why it could not be timed.
        probe: Amount of work to time.
        backbones: Backbones to time; all of the plan by default.

    Returns:
        Rates by backbone, without those that could not be timed.
    """
    # A store that cannot be written fails here, and not after minutes of timing.
    Rates.write(records.root, Rates.read(records.root))
    names = dict.fromkeys(backbones or (job.settings.backbone for job in plan.trainings.values()))
    threads = torch.get_num_threads()
    # A process of a grid has these many threads, and speed depends on them.
    environment = worker_environments(None, torch.cuda.device_count())[0]
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", threads)))
    try:
        # The timed runs are no results, so they go into a temporary store.
        with tempfile.TemporaryDirectory(prefix="calibrate-") as folder:
            worker = Worker(Records(Path(folder)), on_message=lambda *_: None)
            timed = {
                name: _Timer(worker, search, on_message, probe).time_backbone(plan, name) for name in names
            }
    finally:
        torch.set_num_threads(threads)
        # The processes of the grid load the backbone again: this one would only occupy memory.
        cached_host.cache_clear()
        free_memory()
    rates = {name: measured for name, measured in timed.items() if measured}
    Rates.write(records.root, {**Rates.read(records.root), **rates})
    return rates


@dataclass
class _Timer:
    """Times the jobs of one backbone.

    Attributes:
        train: Kind -> examples per second of trainings.
        evaluate: Kind -> examples per second of evaluations.
        overhead: Type of job -> seconds of each timed job besides its steps.
        rows: Number of training rows by task.
    """

    worker: Worker
    search: DataSearch
    on_message: Callable[[str], None]
    probe: _Probe = FULL
    train: dict[str, float] = field(default_factory=dict)
    evaluate: dict[str, float] = field(default_factory=dict)
    overhead: dict[str, list[float]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def time_backbone(self, plan: Plan, backbone: str) -> Rates | None:
        """Times every kind of target and of intermediate task; None if nothing could be timed."""
        for kind, cell in _baselines(plan, backbone).items():
            self._time_evaluation(kind, cell)
        for job in plan.trainings.values():
            kind = job.settings.kind or ""
            if job.settings.backbone == backbone and job.type == "train" and kind not in self.train:
                self._time_training(job)
        if not self.train or not self.evaluate:
            if not self.probe.offline:
                self.on_message(f"{backbone}: nothing could be timed")
            return None
        return Rates(
            device=_device_name(),
            backbone=backbone,
            train=self.train,
            evaluate=self.evaluate,
            overhead={job_type: round(fmean(seconds), 3) for job_type, seconds in self.overhead.items()},
            rows=self.rows,
        )

    def _run(self, job: JobSpec) -> Record | None:
        """Runs a job; None if it fails."""
        outcome = self.worker.run_job(job)
        if isinstance(outcome.result, Failure):
            # Without --calibrate, the failing job itself reports the error later.
            if not self.probe.offline:
                self.on_message(f"{job.name} cannot be timed: {outcome.result.message}")
            return None
        record = outcome.result
        # A job that ran before was timed then, for another kind.
        return record if outcome.ran or record is None else replace(record, seconds=None)

    def _time_training(self, job: JobSpec) -> JobSpec | None:
        """Times a shortened training; returns its job if it succeeded."""
        short_job = self._shorten(job)
        record = self._run(short_job) if short_job else None
        if record is None:
            return None
        # A merge has no examples; a job that ran before has no seconds.
        if record.examples is None or record.seconds is None:
            return short_job
        folder = self.worker.records.store / record.run
        stepping = max(0.05, _step_seconds(folder))
        self.train.setdefault(job.settings.kind or "", round(record.examples / stepping, 2))
        self.overhead.setdefault("train", []).append(max(0.0, record.seconds - stepping))
        rows = TrainOrigin.require(folder).data.get(job.task, {}).get("train", {}).get("rows")
        # An offline probe reads only part of the rows.
        if not self.probe.offline and isinstance(rows, int):
            self.rows[f"{job.task}/train"] = rows
        self.on_message(f"{job.name}: {record.examples / stepping:.1f} examples/s")
        return short_job

    def _shorten(self, job: JobSpec) -> JobSpec | None:
        """A training of a few steps without sources; None if it would download something."""
        local_job = pin_to_local_data(job, self.search) if self.probe.offline else job
        if local_job is None:
            return None
        steps = self.probe.steps
        hyperparameters, limit = local_job.settings.hyperparameters, local_job.settings.limit
        if hyperparameters and self.probe.offline:
            limit = min(limit or 10**9, 2 * steps * hyperparameters.batch_size)
        # As many epochs as steps, so that few rows do not end it early; no evaluation but the last one.
        changes = {"max_steps": steps, "epochs": float(steps), "eval_every": 10**6, "dev_rows": 16}
        shortened = hyperparameters.model_copy(update=changes) if hyperparameters else None
        settings = local_job.settings.model_copy(update={"hyperparameters": shortened, "limit": limit})
        return training(job.task, "single", (), settings, 1)

    def _time_evaluation(self, kind: str, cell: Cell) -> None:
        """Times two evaluations of different length after a shortened training."""
        training_job = self._time_training(cell.training)
        if training_job is None:
            return
        records = []
        for rows in (self.probe.short_rows, self.probe.long_rows):
            settings = cell.settings.model_copy(update={"limit": rows})
            languages = cell.languages[:1]
            (job,) = evaluations(cell.reference, training_job.digest, settings, cell.split, languages)
            local = pin_to_local_data(job, self.search) if self.probe.offline else job
            records.append(self._run(local) if local else None)
        short, long = records
        if short is None or long is None:
            return
        if short.seconds is None or short.examples is None or long.examples is None:
            return
        # Loading is in both times, so their difference is the cost of the extra rows alone.
        extra_seconds = max(0.01, (long.seconds or short.seconds) - short.seconds)
        speed = max(1, long.examples - short.examples) / extra_seconds
        self.evaluate[kind] = round(speed, 2)
        self.overhead.setdefault("evaluate", []).append(max(0.0, short.seconds - short.examples / speed))
        self.on_message(f"evaluate {cell.target}: {speed:.1f} examples/s")


def _baselines(plan: Plan, backbone: str) -> dict[str, Cell]:
    """A baseline cell for each kind of target."""
    cells = [cell for cell in plan.cells if cell.rank == 0 and cell.settings.backbone == backbone]
    baselines: dict[str, Cell] = {}
    # Targets without training come last: the first timed job would otherwise include loading the backbone.
    for cell in sorted(cells, key=lambda cell: cell.training.settings.hyperparameters is None):
        baselines.setdefault(cell.settings.kind or "", cell)
    return baselines


def _step_seconds(folder: Path) -> float:
    """Seconds that the steps of a training took, without loading and publishing."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return max((float(line["elapsed"]) for line in lines if "elapsed" in line), default=0.0)


def _device_name() -> str:
    """Returns the name of the device that computes here."""
    device = accelerator().device
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type}, {torch.get_num_threads()} threads"
