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
        overhead: seconds of a job besides; by type of request.
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
    """What requests will take.

    Attributes:
        seconds, bytes: in all.
        low, high: Range of the seconds, from the usual error of each basis (`SPREAD`).
        jobs: how many requests there are by where their estimate comes from.
    """

    seconds: float
    bytes: float
    jobs: Mapping[Basis, int]
    low: float
    high: float


@dataclass
class Estimator:
    """Estimates requests by what is known of finished ones, else by rates."""

    known: Iterable[CostGroup] = ()
    rates: Mapping[str, Rates] = field(default_factory=dict)
    _seen: dict[tuple[str, ...], _Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.known:
            self._seen.setdefault((each.type,), _Seen()).add(each)
            if each.seconds is not None:
                for key in _keys(each.backbone, each.settings, each.type, each.task, each.composition):
                    self._seen.setdefault(key, _Seen()).add(each)

    def seconds(self, request: JobSpec) -> tuple[float, Basis]:
        """How long one request will take, and where that number comes from.

        What was recorded of the same settings goes before everything else; of other settings it is scaled by
        the number of examples.
        """
        settings = request.settings
        for key in _keys(
            settings.backbone,
            settings.digest[:SETTINGS_DIGITS],
            request.type,
            request.task,
            request.composition,
        ):
            if key in self._seen:
                seen = self._seen[key]
                same = key[-1] == settings.digest[:SETTINGS_DIGITS]
                return seen.seconds if same else seen.scaled(self.examples(request)), "recorded"
        examples = self.examples(request)
        what = "evaluate" if request.language else "train"
        rates = self.rates.get(settings.backbone)
        if rates is None:
            return OVERHEAD + examples / ROUGH[what], "rough"
        seconds = rates.overhead.get(what, OVERHEAD) + examples / rates.speed(what, settings.kind)
        return seconds + self._development(request, rates), "calibrated"

    def examples(self, request: JobSpec) -> int:
        """Examples that a request goes through."""
        rows = self._rows(request)
        hyperparameters = request.settings.hyperparameters
        if hyperparameters is None:
            return rows if request.language else 0
        steps = max(1, ceil(hyperparameters.epochs * ceil(rows / hyperparameters.batch_size)))
        return min(steps, hyperparameters.max_steps or steps) * hyperparameters.batch_size

    def size(self, request: JobSpec) -> float:
        """Bytes of its run."""
        known = self._seen.get((request.type,))
        return known.bytes if known else MEGABYTES[request.type] * 1e6

    def total(self, requests: Iterable[JobSpec]) -> Estimate:
        """What all these requests take, one after the other."""
        jobs: dict[Basis, int] = {"recorded": 0, "calibrated": 0, "rough": 0}
        seconds = size = low = high = 0.0
        for request, number in self._alike(requests):
            each, basis = self.seconds(request)
            seconds += number * each
            low += number * each / SPREAD[basis]
            high += number * each * SPREAD[basis]
            size += number * self.size(request)
            jobs[basis] += number
        return Estimate(seconds, size, jobs, low, high)

    def unknown_backbones(self, requests: Iterable[JobSpec]) -> dict[str, float]:
        """Backbone -> estimated seconds of its requests that have rough rates only."""
        backbones: dict[str, float] = {}
        for request, number in self._alike(requests):
            each, basis = self.seconds(request)
            if basis == "rough":
                backbone = request.settings.backbone
                backbones[backbone] = backbones.get(backbone, 0.0) + number * each
        return backbones

    def _alike(self, requests: Iterable[JobSpec]) -> Iterable[tuple[JobSpec, int]]:
        """One of each sort of requests that take the same (languages, seeds), with how many there are."""
        counts: Counter[tuple[str, ...]] = Counter()
        first: dict[tuple[str, ...], JobSpec] = {}
        key, needs = tuple[str, ...](), None
        for request in requests:
            if request.needs is not needs or not request.language:  # not one more language of the last one
                key = (
                    request.settings.digest,
                    request.task,
                    request.composition,
                    request.language and "evaluate",
                )
                first.setdefault(key, request)
                needs = request.needs if request.language else None
            counts[key] += 1
        return [(first[key], number) for key, number in counts.items()]

    def within(
        self, requests: Iterable[JobSpec], state: GridStatus, seconds: float, retry_failed: bool = False
    ) -> Iterator[JobSpec]:
        """The first requests that fit into a time of work; what will not be made takes none."""
        spent, idle = 0.0, {"done"} if retry_failed else {"done", "failed", "blocked"}
        for request in requests:
            spent += 0.0 if state.of(request) in idle else self.seconds(request)[0]
            if spent > seconds:
                return
            yield request

    def _rows(self, request: JobSpec) -> int:
        rates = self.rates.get(request.settings.backbone)
        return rows_of(request.task, request.split or "train", request.settings, rates.rows if rates else {})

    def _development(self, request: JobSpec, rates: Rates) -> float:
        """Seconds of the evaluations on development data while training."""
        hyperparameters = request.settings.hyperparameters
        if hyperparameters is None:
            return 0.0
        rows = self._rows(request)
        steps = self.examples(request) / hyperparameters.batch_size
        times = ceil(steps / (hyperparameters.eval_every or max(1, ceil(rows / hyperparameters.batch_size))))
        return times * _dev_rows(hyperparameters, rows) / rates.speed("evaluate", request.settings.kind)


def _dev_rows(hyperparameters: Hyperparameters, rows: int) -> int:
    """Development rows, as if they were held out of the training rows."""
    return min(hyperparameters.dev_rows, max(1, round(hyperparameters.holdout * rows)))


def _keys(backbone: str, settings: str, *what: str) -> Iterator[tuple[str, ...]]:
    """What requests are alike in, the most alike first: all, all but the settings, nor the composition."""
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
        self.records += alike.number
        for n, mean in enumerate((alike.seconds, alike.examples, alike.size)):
            self.sums[n] += alike.number * (mean or 0)

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
