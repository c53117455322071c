"""What a grid will take: time and disk, from what was recorded, from a calibration, or from rough rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Literal

from adapterstilts.bounded_json import loads
from adapterstilts.errors import ConfigError
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import SETTINGS_DIGITS, CostGroup
from adapterstilts.grid.sizes import rows_of
from adapterstilts.grid.status import GridStatus
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.store.files import write_json
from adapterstilts.values import Value

Basis = Literal["recorded", "calibrated", "rough"]
ROUGH = {"train": 10.0, "evaluate": 40.0}  # examples/s of a small encoder on two CPU cores
RATES = "rates.json"
SPREAD: Mapping[Basis, float] = {"recorded": 1.3, "calibrated": 2.0, "rough": 4.0}  # usual error, as a factor
OVERHEAD = 1.0  # seconds of a job besides its steps: reading data, loading adapters, publishing
MEGABYTES = {"train": 4.0, "compose": 5.0, "evaluate": 0.2}  # of a run, where none is there to be measured


class Rates(Value):
    """Speed on one device, timed on a few real steps.

    Attributes:
        device: its name.
        train, evaluate: examples a second by kind of task; "" is the mean of the kinds.
        overhead: seconds of a job besides; by type of job.
        rows: rows of data at hand, by task and split (`mnli/train`).
    """

    device: str
    backbone: str
    train: Mapping[str, float]
    evaluate: Mapping[str, float]
    overhead: Mapping[str, float] = {}
    rows: Mapping[str, int] = {}

    def speed(self, what: str, kind: str | None) -> float:
        """Examples a second of a kind; of one that was not timed the mean of those that were."""
        speeds = self.evaluate if what == "evaluate" else self.train
        return speeds.get(kind or "", fmean(speeds.values()))


def read_rates(folder: Path) -> dict[str, Rates]:
    """The calibrations of a store by backbone; empty where there are none that can be read."""
    try:
        found = loads((folder / RATES).read_text("utf-8"))
        return {name: Rates.parse(rates) for name, rates in found.items()}
    except (OSError, ValueError, AttributeError, TypeError, ConfigError):
        return {}


def write_rates(folder: Path, rates: Mapping[str, Rates]) -> None:
    """Keeps calibrations."""
    write_json(folder / RATES, {name: each.model_dump(mode="json") for name, each in rates.items()})


@dataclass(frozen=True)
class Estimate:
    """What jobs will take.

    Attributes:
        seconds, bytes: in all.
        low, high: Range of the seconds, from the usual error of each basis (`SPREAD`).
        by_basis: how many jobs there are by where their estimate comes from.
    """

    seconds: float
    bytes: float
    by_basis: Mapping[Basis, int]
    low: float
    high: float


@dataclass
class Estimator:
    """Estimates jobs by what is known of finished ones, else by rates."""

    known: Iterable[CostGroup] = ()
    rates: Mapping[str, Rates] = field(default_factory=dict)
    _seen: dict[tuple[str, ...], _Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.known:
            self._seen.setdefault((each.type,), _Seen()).add(each)
            if each.seconds is not None:
                for key in _keys(each.backbone, each.settings, each.type, each.task, each.composition):
                    self._seen.setdefault(key, _Seen()).add(each)

    def seconds(self, job: JobSpec) -> tuple[float, Basis]:
        """How long one job will take, and where that number comes from.

        What was recorded of the same settings goes before everything else; of other settings it is scaled by
        the number of examples.
        """
        settings = job.settings
        for key in _keys(
            settings.backbone,
            settings.digest[:SETTINGS_DIGITS],
            job.type,
            job.task,
            job.composition,
        ):
            if key in self._seen:
                seen = self._seen[key]
                same = key[-1] == settings.digest[:SETTINGS_DIGITS]
                return seen.seconds if same else seen.scaled(self.examples(job)), "recorded"
        examples = self.examples(job)
        what = "evaluate" if job.language else "train"
        rates = self.rates.get(settings.backbone)
        if rates is None:
            return OVERHEAD + examples / ROUGH[what], "rough"
        seconds = rates.overhead.get(what, OVERHEAD) + examples / rates.speed(what, settings.kind)
        return seconds + self._development(job, rates), "calibrated"

    def examples(self, job: JobSpec) -> int:
        """Examples that a job goes through."""
        rows = self._rows(job)
        hyperparameters = job.settings.hyperparameters
        if hyperparameters is None:
            return rows if job.language else 0
        steps = max(1, ceil(hyperparameters.epochs * ceil(rows / hyperparameters.batch_size)))
        return min(steps, hyperparameters.max_steps or steps) * hyperparameters.batch_size

    def size(self, job: JobSpec) -> float:
        """Bytes of its run."""
        known = self._seen.get((job.type,))
        return known.bytes if known else MEGABYTES[job.type] * 1e6

    def total(self, jobs: Iterable[JobSpec]) -> Estimate:
        """What all these jobs take, one after the other."""
        by_basis: dict[Basis, int] = {"recorded": 0, "calibrated": 0, "rough": 0}
        seconds = size = low = high = 0.0
        for job, number in self._alike(jobs):
            each, basis = self.seconds(job)
            seconds += number * each
            low += number * each / SPREAD[basis]
            high += number * each * SPREAD[basis]
            size += number * self.size(job)
            by_basis[basis] += number
        return Estimate(seconds, size, by_basis, low, high)

    def unknown_backbones(self, jobs: Iterable[JobSpec]) -> dict[str, float]:
        """Backbone -> estimated seconds of its jobs that have rough rates only."""
        backbones: dict[str, float] = {}
        for job, number in self._alike(jobs):
            each, basis = self.seconds(job)
            if basis == "rough":
                backbone = job.settings.backbone
                backbones[backbone] = backbones.get(backbone, 0.0) + number * each
        return backbones

    def _alike(self, jobs: Iterable[JobSpec]) -> Iterable[tuple[JobSpec, int]]:
        """One of each sort of jobs that take the same (languages, seeds), with how many there are."""
        counts: Counter[tuple[str, ...]] = Counter()
        first: dict[tuple[str, ...], JobSpec] = {}
        key, needs = tuple[str, ...](), None
        for job in jobs:
            if job.needs is not needs or not job.language:  # not one more language of the last one
                key = (
                    job.settings.digest,
                    job.task,
                    job.composition,
                    job.language and "evaluate",
                )
                first.setdefault(key, job)
                needs = job.needs if job.language else None
            counts[key] += 1
        return [(first[key], number) for key, number in counts.items()]

    def within(
        self, jobs: Iterable[JobSpec], state: GridStatus, seconds: float, retry_failed: bool = False
    ) -> Iterator[JobSpec]:
        """The first jobs that fit into a time of work; what will not be made takes none."""
        spent, idle = 0.0, {"done"} if retry_failed else {"done", "failed", "blocked"}
        for job in jobs:
            spent += 0.0 if state.state_of(job) in idle else self.seconds(job)[0]
            if spent > seconds:
                return
            yield job

    def _rows(self, job: JobSpec) -> int:
        rates = self.rates.get(job.settings.backbone)
        return rows_of(job.task, job.split or "train", job.settings, rates.rows if rates else {})

    def _development(self, job: JobSpec, rates: Rates) -> float:
        """Seconds of the evaluations on development data while training."""
        hyperparameters = job.settings.hyperparameters
        if hyperparameters is None:
            return 0.0
        rows = self._rows(job)
        steps = self.examples(job) / hyperparameters.batch_size
        times = ceil(steps / (hyperparameters.eval_every or max(1, ceil(rows / hyperparameters.batch_size))))
        return times * _dev_rows(hyperparameters, rows) / rates.speed("evaluate", job.settings.kind)


def _dev_rows(hyperparameters: Hyperparameters, rows: int) -> int:
    """Development rows, as if they were held out of the training rows."""
    return min(hyperparameters.dev_rows, max(1, round(hyperparameters.holdout * rows)))


def _keys(backbone: str, settings: str, *what: str) -> Iterator[tuple[str, ...]]:
    """What jobs are alike in, the most alike first: all, all but the settings, nor the composition."""
    if settings:
        yield (backbone, *what, settings)
    yield (backbone, *what)
    if what[0] == "compose":
        yield (backbone, "compose", what[1])


@dataclass
class _Seen:
    """Sums over records that are alike."""

    records: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # seconds, examples, bytes

    def add(self, alike: CostGroup) -> None:
        self.records += alike.count
        for n, mean in enumerate((alike.seconds, alike.examples, alike.size)):
            self.sums[n] += alike.count * (mean or 0)

    @property
    def seconds(self) -> float:
        return self.sums[0] / self.records

    @property
    def bytes(self) -> float:
        return self.sums[2] / self.records

    def scaled(self, examples: int) -> float:
        """Seconds of so many examples, beside which every job has its overhead."""
        usual = self.sums[1] / self.records
        overhead = min(OVERHEAD, self.seconds)
        return overhead + (self.seconds - overhead) * (examples / usual if usual and examples else 1.0)
