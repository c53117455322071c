"""Times a few real steps of each kind of task in a plan, on this device, through the worker itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch

from adapterstilts.grid.availability import on_this_machine
from adapterstilts.grid.estimate import Rates, read_rates, write_rates
from adapterstilts.grid.job_spec import JobSpec, evaluations, training
from adapterstilts.grid.plan import Cell, Plan
from adapterstilts.grid.process_executor import places
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.worker import Worker, device_name
from adapterstilts.run.device import free_memory
from adapterstilts.run.fit import host_for
from adapterstilts.store.origin import TrainOrigin


class Probe(NamedTuple):
    """Amount of work that a calibration times.

    Attributes:
        steps: Optimizer steps of a training.
        few, more: Rows of the two evaluations; the difference of their times is the cost of the extra rows.
        here: Whether to time only what needs no download, on as few rows as possible.
    """

    steps: int
    few: int
    more: int
    here: bool = False

    def short(self, request: JobSpec) -> JobSpec | None:
        """A shortened training for the request; None if it would download something."""
        found = on_this_machine(request) if self.here else request
        if found is None:
            return None
        hyperparameters, limit = found.settings.hyperparameters, found.settings.limit
        if hyperparameters and self.here:
            limit = min(limit or 10**9, 2 * self.steps * hyperparameters.batch_size)
        settings = {"max_steps": self.steps, "epochs": float(self.steps), "eval_every": 10**6, "dev_rows": 16}
        short = hyperparameters.model_copy(update=settings) if hyperparameters else None
        changed = found.settings.model_copy(update={"hyperparameters": short, "limit": limit})
        return training(request.task, "single", (), changed, 1)


FULL = Probe(20, 32, 160)
QUICK = Probe(6, 8, 56, here=True)


def calibrate(
    plan: Plan,
    records: Records,
    tell: Callable[[str], None],
    probe: Probe = FULL,
    backbones: Iterable[str] | None = None,
) -> Mapping[str, Rates]:
    """Rates of every backbone of the plan; kept beside the records for later estimates.

    Steps are timed with as many threads as each process of a grid has.

    Args:
        tell: receives one line for each kind, or why it could not be timed.
        backbones: Backbones to time; all of the plan by default.
    """
    write_rates(
        records.root, read_rates(records.root)
    )  # what cannot be written is said now, not after minutes
    names = dict.fromkeys(backbones or (request.settings.backbone for request in plan.trainings.values()))
    threads = torch.get_num_threads()
    torch.set_num_threads(int(places(None, torch.cuda.device_count())[0].get("OMP_NUM_THREADS", threads)))
    try:
        with tempfile.TemporaryDirectory(prefix="calibrate-") as folder:
            worker = Worker(Records(Path(folder)), listen=lambda *_: None)
            timed = {name: _Timing(worker, tell, probe).rates(plan, name) for name in names}
    finally:
        torch.set_num_threads(threads)
        host_for.cache_clear()  # the processes of a grid load the backbone again
        free_memory()
    known = {name: rates for name, rates in timed.items() if rates}
    write_rates(records.root, {**read_rates(records.root), **known})
    return known


@dataclass
class _Timing:
    """What was timed for one backbone: examples a second by kind, and seconds besides."""

    worker: Worker
    tell: Callable[[str], None]
    probe: Probe = FULL
    train: dict[str, float] = field(default_factory=dict)
    evaluate: dict[str, float] = field(default_factory=dict)
    besides: dict[str, list[float]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def rates(self, plan: Plan, backbone: str) -> Rates | None:
        for kind, cell in _by_kind(plan, backbone).items():
            self._evaluation(kind, cell)
        for request in plan.trainings.values():
            kind = request.settings.kind or ""
            if request.settings.backbone == backbone and request.type == "train" and kind not in self.train:
                self._training(request)
        if not self.train or not self.evaluate:
            if not self.probe.here:
                self.tell(f"{backbone}: nothing could be timed")
            return None
        overhead = {what: round(fmean(seconds), 3) for what, seconds in self.besides.items()}
        return Rates(
            device=device_name(),
            backbone=backbone,
            train=self.train,
            evaluate=self.evaluate,
            overhead=overhead,
            rows=self.rows,
        )

    def _perform(self, request: JobSpec) -> Record | None:
        outcome = self.worker.perform(request)
        if isinstance(outcome, Failure):
            if not self.probe.here:  # without --calibrate, the failing job itself reports the error
                self.tell(f"{request.name} cannot be timed: {outcome.message}")
            return None
        return outcome

    def _training(self, request: JobSpec) -> JobSpec | None:
        """Times a shortened training; returns it, if it can be done."""
        cut = self.probe.short(request)
        record = self._perform(cut) if cut else None
        if record is None or record.examples is None or record.seconds is None:
            return cut if record else None
        folder = self.worker.records.store / record.run
        stepping = max(0.05, _elapsed(folder))
        self.train.setdefault(request.settings.kind or "", round(record.examples / stepping, 2))
        self.besides.setdefault("train", []).append(max(0.0, record.seconds - stepping))
        if not self.probe.here:  # a quick calibration reads only part of the rows
            self.rows.update(_rows(folder, request.task))
        self.tell(f"{request.name}: {record.examples / stepping:.1f} examples/s")
        return cut

    def _evaluation(self, kind: str, cell: Cell) -> None:
        """Times two evaluations of different length after a shortened training."""
        trained = self._training(cell.training)
        if trained is None:
            return
        timed = []
        for rows in (self.probe.few, self.probe.more):
            settings = cell.settings.model_copy(update={"limit": rows})
            (short,) = evaluations(cell.reference, trained.digest, settings, cell.split, cell.languages[:1])
            found = on_this_machine(short) if self.probe.here else short
            timed.append(self._perform(found) if found else None)
        few, more = timed
        if (
            few is None
            or more is None
            or few.seconds is None
            or few.examples is None
            or more.examples is None
        ):
            return
        longer = max(0.01, (more.seconds or few.seconds) - few.seconds)
        speed = max(1, more.examples - few.examples) / longer
        self.evaluate[kind] = round(speed, 2)
        self.besides.setdefault("evaluate", []).append(max(0.0, few.seconds - few.examples / speed))
        self.tell(f"evaluate {cell.target}: {speed:.1f} examples/s")


def _by_kind(plan: Plan, backbone: str) -> dict[str, Cell]:
    """A baseline for each kind of target; those that nothing trains last, when the backbone is loaded."""
    cells = [cell for cell in plan.cells if cell.rank == 0 and cell.settings.backbone == backbone]
    found: dict[str, Cell] = {}
    for cell in sorted(cells, key=lambda each: each.training.settings.hyperparameters is None):
        found.setdefault(cell.settings.kind or "", cell)
    return found


def _elapsed(folder: Path) -> float:
    """Seconds that the steps took, without loading and publishing."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return max((float(line["elapsed"]) for line in lines if "elapsed" in line), default=0.0)


def _rows(folder: Path, task: str) -> Iterable[tuple[str, int]]:
    """How many training rows there are, as far as the run says."""
    origin = TrainOrigin.require(folder)
    rows = origin.data.get(task, {}).get("train", {}).get("rows")
    return [(f"{task}/train", rows)] if isinstance(rows, int) else []
