"""Estimates time and disk space of a grid from recorded jobs, a calibration, or rough rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Literal, Self

from adapterstilts.bounded_json import loads
from adapterstilts.errors import ConfigError
from adapterstilts.grid.job_spec import JobSettings, JobSpec
from adapterstilts.grid.records import SETTINGS_DIGITS, CostGroup, Records
from adapterstilts.grid.status import GridStatus
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.store.files import write_json
from adapterstilts.tasks.multitask import split_name
from adapterstilts.values import Value

# What an estimate is derived from
Basis = Literal["recorded", "calibrated", "rough"]
# Examples per second of a small encoder on two CPU cores
ROUGH_SPEEDS = {"train": 10.0, "evaluate": 40.0}
RATES_FILE = "rates.json"
# Typical error of an estimate, as a factor in both directions
ERROR_FACTORS: Mapping[Basis, float] = {"recorded": 1.3, "calibrated": 2.0, "rough": 4.0}
# Seconds of a job besides its steps: reading data, loading adapters, publishing the run
OVERHEAD = 1.0
# Size of a run while none of its type is recorded
ROUGH_MEGABYTES = {"train": 4.0, "compose": 5.0, "evaluate": 0.2}

# Approximate numbers of rows in the releases, for estimates where the data itself was not counted. They are
# rounded guides and not to be quoted.
TRAINING_ROWS: Mapping[str, int] = {
    "anli": 162_865, "anli_plus": 1_104_934, "mnli": 392_702, "snli": 549_367, "qqp": 363_846,
    "squad_v1": 87_599, "squad_v2": 130_319, "hellaswag": 39_905, "ccg": 38_015, "cosmosqa": 25_588,
    "csqa": 9_741, "siqa": 33_410, "copa": 400, "pawsx": 49_401, "udpos": 21_253, "panx": 20_000,
    "tydiqa": 3_696, "mini_nli": 450, "mini_paraphrase": 400, "mini_qa": 300, "mini_ner": 274,
}  # fmt: skip
# Evaluation rows of one language, a medium value where languages differ
EVALUATION_ROWS: Mapping[str, int] = {
    "xnli": 5_010, "pawsx": 2_000, "udpos": 1_000, "panx": 5_000, "xquad": 1_190, "mlqa": 5_000,
    "tydiqa": 600, "bucc2018": 660_000, "tatoeba": 2_000, "xcopa": 500, "lareqa": 2_000, "mewslix": 2_000,
    "mini_nli": 60, "mini_paraphrase": 60, "mini_qa": 60, "mini_ner": 60, "mini_retrieval": 240,
}  # fmt: skip
# For custom tasks, and tasks that are not listed above
DEFAULT_ROWS = 5_000


def _row_count(task: str, split: str, settings: JobSettings, counted: Mapping[str, int]) -> int:
    """Returns the approximate number of rows that a job reads.

    Args:
        task: Task, or joint tasks (`a+b`).
        split: Split to read.
        settings: Settings of the job; its row limit and the row range of an explicit file apply.
        counted: Task and split, such as `mnli/train` -> number of rows that were counted in the data.
    """
    released = TRAINING_ROWS if split == "train" else EVALUATION_ROWS
    parts = split_name(task)
    rows = sum(counted.get(f"{part}/{split}", released.get(part, DEFAULT_ROWS)) for part in parts)
    file = settings.train_file if split == "train" else settings.eval_file
    start, _, end = (file or "").rpartition("#")[2].partition("-")
    if start.isdigit() and end.isdigit():
        rows = int(end) - int(start) + 1 or rows
    return min(rows, settings.limit) if settings.limit else rows


class Rates(Value):
    """Speed of one backbone on one device, measured by a calibration.

    Attributes:
        device: Name of the device.
        train, evaluate: Kind of task -> examples per second. "" for multi-task trainings.
        overhead: Job type -> seconds of a job besides its steps.
        rows: Task and split, such as `mnli/train` -> number of rows.
    """

    device: str
    backbone: str
    train: Mapping[str, float]
    evaluate: Mapping[str, float]
    overhead: Mapping[str, float] = {}
    rows: Mapping[str, int] = {}

    def speed(self, job_type: str, kind: str | None) -> float:
        """Returns the examples per second of a kind, or the mean of all kinds if it was not measured."""
        speeds = self.evaluate if job_type == "evaluate" else self.train
        return speeds.get(kind or "", fmean(speeds.values()))

    @staticmethod
    def read(folder: Path) -> dict[str, Rates]:
        """Returns a store's calibrations by backbone. Empty if there are none or they are unreadable."""
        # An unreadable calibration only makes estimates rough, which is no reason to stop a grid
        try:
            content = loads((folder / RATES_FILE).read_text("utf-8"))
            return {name: Rates.parse(rates) for name, rates in content.items()}
        except (OSError, ValueError, AttributeError, TypeError, ConfigError):
            return {}

    @staticmethod
    def write(folder: Path, rates: Mapping[str, Rates]) -> None:
        """Writes a store's calibrations."""
        content = {name: backbone_rates.model_dump(mode="json") for name, backbone_rates in rates.items()}
        write_json(folder / RATES_FILE, content)


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a number of jobs.

    Attributes:
        seconds, bytes: Totals.
        by_basis: Basis -> number of jobs whose estimate is derived from it.
        low, high: Range of the seconds according to `ERROR_FACTORS`.
    """

    seconds: float
    bytes: float
    by_basis: Mapping[Basis, int]
    low: float
    high: float


@dataclass
class Estimator:
    """Estimates jobs from recorded ones where possible, otherwise from rates."""

    groups: Iterable[CostGroup] = ()
    rates: Mapping[str, Rates] = field(default_factory=dict)
    _costs: dict[tuple[str, ...], _MeanCost] = field(default_factory=dict)

    @classmethod
    def from_records(cls, records: Records) -> Self:
        """Returns an estimator for a store: its recorded jobs and its last calibration."""
        return cls(records.cost_groups(), Rates.read(records.root))

    def __post_init__(self) -> None:
        for group in self.groups:
            self._costs.setdefault((group.type,), _MeanCost()).add(group)
            # Runs that already existed when their job was recorded have a size but no time
            if group.seconds is not None:
                for key in _keys(group.backbone, group.settings, group.type, group.task, group.composition):
                    self._costs.setdefault(key, _MeanCost()).add(group)

    def seconds(self, job: JobSpec) -> tuple[float, Basis]:
        """Returns the estimated seconds of one job and the basis of the estimate.

        Recorded jobs with the same settings have priority. Those with other settings are scaled by the number
        of examples.
        """
        settings = job.settings
        digits = settings.digest[:SETTINGS_DIGITS]
        for key in _keys(settings.backbone, digits, job.type, job.task, job.composition):
            if key in self._costs:
                cost = self._costs[key]
                return cost.seconds if key[-1] == digits else cost.scaled(self.examples(job)), "recorded"
        examples = self.examples(job)
        job_type = "evaluate" if job.language else "train"
        rates = self.rates.get(settings.backbone)
        if rates is None:
            return OVERHEAD + examples / ROUGH_SPEEDS[job_type], "rough"
        seconds = rates.overhead.get(job_type, OVERHEAD) + examples / rates.speed(job_type, settings.kind)
        return seconds + self._development_seconds(job, rates), "calibrated"

    def examples(self, job: JobSpec) -> int:
        """Returns the number of examples that a job processes, repetitions included."""
        rows = self._row_count(job)
        hyperparameters = job.settings.hyperparameters
        if hyperparameters is None:
            return rows if job.language else 0
        steps = max(1, ceil(hyperparameters.epochs * ceil(rows / hyperparameters.batch_size)))
        return min(steps, hyperparameters.max_steps or steps) * hyperparameters.batch_size

    def bytes(self, job: JobSpec) -> float:
        """Returns the estimated size of a job's run."""
        cost = self._costs.get((job.type,))
        return cost.bytes if cost else ROUGH_MEGABYTES[job.type] * 1e6

    def total(self, jobs: Iterable[JobSpec]) -> Estimate:
        """Returns the total cost of jobs that run one after the other."""
        by_basis: dict[Basis, int] = {"recorded": 0, "calibrated": 0, "rough": 0}
        seconds = size = low = high = 0.0
        for job, count in _grouped(jobs):
            job_seconds, basis = self.seconds(job)
            seconds += count * job_seconds
            low += count * job_seconds / ERROR_FACTORS[basis]
            high += count * job_seconds * ERROR_FACTORS[basis]
            size += count * self.bytes(job)
            by_basis[basis] += count
        return Estimate(seconds, size, by_basis, low, high)

    def unknown_backbones(self, jobs: Iterable[JobSpec]) -> dict[str, float]:
        """Returns backbone -> estimated seconds of its jobs that have rough estimates only."""
        backbones: dict[str, float] = {}
        for job, count in _grouped(jobs):
            seconds, basis = self.seconds(job)
            if basis == "rough":
                backbone = job.settings.backbone
                backbones[backbone] = backbones.get(backbone, 0.0) + count * seconds
        return backbones

    def within(
        self, jobs: Iterable[JobSpec], status: GridStatus, seconds: float, retry_failed: bool = False
    ) -> Iterator[JobSpec]:
        """Yields jobs in their order until their estimated time exceeds the budget.

        Jobs that will not run, such as finished ones, take no time.
        """
        idle = {"done"} if retry_failed else {"done", "failed", "blocked"}
        spent = 0.0
        for job in jobs:
            spent += 0.0 if status.state_of(job) in idle else self.seconds(job)[0]
            if spent > seconds:
                return
            yield job

    def _row_count(self, job: JobSpec) -> int:
        rates = self.rates.get(job.settings.backbone)
        return _row_count(job.task, job.split or "train", job.settings, rates.rows if rates else {})

    def _development_seconds(self, job: JobSpec, rates: Rates) -> float:
        """Returns the seconds of a training's evaluations on development data."""
        hyperparameters = job.settings.hyperparameters
        if hyperparameters is None:
            return 0.0
        rows = self._row_count(job)
        steps = self.examples(job) / hyperparameters.batch_size
        interval = hyperparameters.eval_every or max(1, ceil(rows / hyperparameters.batch_size))
        dev_rows = _development_rows(hyperparameters, rows)
        return ceil(steps / interval) * dev_rows / rates.speed("evaluate", job.settings.kind)


def _grouped(jobs: Iterable[JobSpec]) -> Iterable[tuple[JobSpec, int]]:
    """Returns a representative of each group of jobs that cost the same, with the size of the group.

    Languages and seeds do not change a cost, so that millions of jobs become a few hundred groups.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    representatives: dict[tuple[str, ...], JobSpec] = {}
    key, needs = tuple[str, ...](), None
    for job in jobs:
        # The evaluations of one training share the same tuple `needs`, and with it the key. The test for
        # identity is much cheaper than building the key.
        if job.needs is not needs or not job.language:
            job_type = "evaluate" if job.language else ""
            key = (job.settings.digest, job.task, job.composition, job_type)
            representatives.setdefault(key, job)
            needs = job.needs if job.language else None
        counts[key] += 1
    return [(representatives[key], count) for key, count in counts.items()]


def _development_rows(hyperparameters: Hyperparameters, rows: int) -> int:
    """Returns the number of development rows, assuming that they are held out of the training rows."""
    return min(hyperparameters.dev_rows, max(1, round(hyperparameters.holdout * rows)))


def _keys(
    backbone: str, settings: str, job_type: str, task: str, composition: str
) -> Iterator[tuple[str, ...]]:
    """Yields the keys under which similar jobs are recorded, the most similar first."""
    if settings:
        yield (backbone, job_type, task, composition, settings)
    yield (backbone, job_type, task, composition)
    # A composition that was never computed costs about as much as the others of the same task
    if job_type == "compose":
        yield (backbone, "compose", task)


@dataclass
class _MeanCost:
    """Mean cost of the records in several groups."""

    count: int = 0
    total_seconds: float = 0.0
    total_examples: float = 0.0
    total_bytes: float = 0.0

    def add(self, group: CostGroup) -> None:
        self.count += group.count
        self.total_seconds += group.count * (group.seconds or 0)
        self.total_examples += group.count * (group.examples or 0)
        self.total_bytes += group.count * (group.size or 0)

    @property
    def seconds(self) -> float:
        return self.total_seconds / self.count

    @property
    def bytes(self) -> float:
        return self.total_bytes / self.count

    def scaled(self, examples: int) -> float:
        """Returns the seconds for a number of examples. The overhead of a job does not scale."""
        mean_examples = self.total_examples / self.count
        overhead = min(OVERHEAD, self.seconds)
        ratio = examples / mean_examples if mean_examples and examples else 1.0
        return overhead + (self.seconds - overhead) * ratio
