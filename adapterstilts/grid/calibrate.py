"""Times a few real steps of each kind of task in a plan, on this device, through the worker itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from adapterstilts.grid.estimate import Rates, read_rates, write_rates
from adapterstilts.grid.plan import Cell, Plan
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.request import Request, evaluations, training
from adapterstilts.grid.worker import Worker, device_name

STEPS = 20  # of a training that is timed
FEW, MORE = 32, 160  # rows of the two evaluations whose difference is timed
SHORT = {"max_steps": STEPS, "eval_every": 10**6, "dev_rows": 16}


def calibrate(plan: Plan, records: Records, tell: Callable[[str], None]) -> Mapping[str, Rates]:
    """Rates of every backbone of the plan; kept beside the records for later estimates.

    Args:
        tell: receives one line for each kind, or why it could not be timed.
    """
    write_rates(
        records.root, read_rates(records.root)
    )  # what cannot be written is said now, not after minutes
    backbones = dict.fromkeys(request.told.backbone for request in plan.trainings.values())
    with tempfile.TemporaryDirectory(prefix="calibrate-") as folder:
        worker = Worker(Records(Path(folder)), listen=lambda *_: None)
        found = {name: _Timing(worker, tell).rates(plan, name) for name in backbones}
    known = {name: rates for name, rates in found.items() if rates}
    write_rates(records.root, {**read_rates(records.root), **known})
    return known


@dataclass
class _Timing:
    """What was timed for one backbone: examples a second by kind, and seconds besides."""

    worker: Worker
    tell: Callable[[str], None]
    train: dict[str, float] = field(default_factory=dict)
    evaluate: dict[str, float] = field(default_factory=dict)
    besides: dict[str, list[float]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def rates(self, plan: Plan, backbone: str) -> Rates | None:
        for kind, cell in _by_kind(plan, backbone).items():
            self._evaluation(kind, cell)
        for request in plan.trainings.values():
            kind = request.told.kind or ""
            if request.told.backbone == backbone and request.type == "train" and kind not in self.train:
                self._training(request)
        if not self.train or not self.evaluate:
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

    def _perform(self, request: Request) -> Record | None:
        outcome = self.worker.perform(request)
        if isinstance(outcome, Failure):
            self.tell(f"{request.name} cannot be timed: {outcome.message}")
            return None
        return outcome

    def _training(self, request: Request) -> Request | None:
        """Times a shortened training; returns it, if it can be done."""
        recipe = request.told.recipe
        short = recipe.model_copy(update=SHORT) if recipe else None
        cut = training(request.task, "single", (), request.told.model_copy(update={"recipe": short}), 1)
        record = self._perform(cut)
        if record is None or record.examples is None or record.seconds is None:
            return cut if record else None
        folder = self.worker.records.store / record.run
        stepping = max(0.05, _elapsed(folder))
        self.train.setdefault(request.told.kind or "", round(record.examples / stepping, 2))
        self.besides.setdefault("train", []).append(max(0.0, record.seconds - stepping))
        self.rows.update(_rows(folder, request.task))
        self.tell(f"{request.name}: {record.examples / stepping:.1f} examples/s")
        return cut

    def _evaluation(self, kind: str, cell: Cell) -> None:
        """Times two evaluations of different length after a shortened training."""
        trained = self._training(cell.training)
        if trained is None:
            return
        timed = []
        for rows in (FEW, MORE):
            told = cell.told.model_copy(update={"limit": rows})
            short = evaluations(cell.reference, trained.digest, told, cell.split, cell.languages[:1])
            timed.append(self._perform(next(short)))
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
    cells = [cell for cell in plan.cells if cell.rank == 0 and cell.told.backbone == backbone]
    found: dict[str, Cell] = {}
    for cell in sorted(cells, key=lambda each: each.training.told.recipe is None):
        found.setdefault(cell.told.kind or "", cell)
    return found


def _elapsed(folder: Path) -> float:
    """Seconds that the steps took, without loading and publishing."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return max((float(line["elapsed"]) for line in lines if "elapsed" in line), default=0.0)


def _rows(folder: Path, task: str) -> Iterable[tuple[str, int]]:
    """How many training rows there are, as far as the run says."""
    origin = json.loads((folder / "origin.json").read_bytes())
    rows = origin.get("train", {}).get("rows")
    return [(f"{task}/train", rows)] if isinstance(rows, int) else []
