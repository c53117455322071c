"""What a person sees while a grid runs: a live panel at a terminal, else a line for each job."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adapterstilts.errors import StoreError
from adapterstilts.grid.estimate import Estimator
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.status import GridStatus
from adapterstilts.terminal_text import visible

RECENT = 8  # finished jobs that are shown
CONSOLE = Console(stderr=True)
NEWS = (
    "out of memory",
    "damaged",
    "was lost",
    "precision: auto",
)  # lines with these words stay on the screen


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(7.4), duration(150), duration(7200), duration(200_000)
    ('7 s', '2 min 30 s', '2 h 00 min', '2 d 8 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _score(request: JobSpec, metrics: Mapping[str, Any]) -> str:
    """The headline metric of an evaluation, or of a training's development data."""
    found = metrics if request.language else metrics.get("dev", {})
    return f"{found['score']:.1f}" if "score" in found else ""


def _short_of(request: JobSpec, metrics: Mapping[str, Any]) -> str:
    """A note for a training that ended before its recipe's `max_steps`, else nothing."""
    hyperparameters = None if request.language else request.settings.hyperparameters
    steps = metrics.get("steps")
    if (
        hyperparameters is None
        or not hyperparameters.max_steps
        or not isinstance(steps, int)
        or steps >= hyperparameters.max_steps
    ):
        return ""
    patience = " or its patience" if hyperparameters.patience else ""
    number = f"{steps} step{'s' * (steps != 1)}"
    most = hyperparameters.max_steps
    return f"  ended after {number}, before max_steps {most}: its epochs{patience} ended first"


class Display:
    """Told by the engine what happens (`grid/scheduler.py`)."""

    def __init__(self, requests: Collection[JobSpec], records: Records, estimator: Estimator, workers: int):
        self._workers = workers  # how many jobs are made at once
        self._records = records
        self._requests = requests
        self._estimator = estimator
        self._costs: dict[str, float] = {}  # digest -> estimated seconds of what is left
        self._all, self._done, self._failed = len(requests), 0, 0
        self._now: dict[str, tuple[str, float]] = {}  # digest -> name, when it started
        self._said: dict[str, str] = {}
        self._recent: deque[tuple[str, str, str]] = deque(maxlen=RECENT)
        self._spent = self._made = 0.0
        self._live = Live(console=CONSOLE, get_renderable=self._panel, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if CONSOLE.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def begun(self, state: GridStatus) -> None:
        """Work begins here."""
        left = state.left(self._requests)
        self._costs = {each.digest: self._estimator.seconds(each)[0] for each in left}
        self._done, self._failed = state.total("done"), state.total("failed")

    def said(self, digest: str, line: str) -> None:
        """A line of a job that is running."""
        self._said[digest] = visible(line)
        if any(word in line for word in NEWS):
            CONSOLE.print(Text(visible(line)))

    def started(self, request: JobSpec) -> None:
        """It is being made now."""
        self._now.setdefault(request.digest, (visible(request.name), time.monotonic()))

    def finished(self, request: JobSpec, record: Record) -> None:
        """It is done."""
        self._done += 1
        self._count(request, record.seconds or 0.0)
        took = "was there" if record.seconds is None else duration(record.seconds)
        took += f", pulled from {record.pulled}" if record.pulled else ""
        try:
            metrics = self._records.metrics(record)
        except StoreError:
            self._tell(request.name, "damaged", took)
            return
        self._tell(request.name, _score(request, metrics), f"{took}{_short_of(request, metrics)}")

    def failed(self, request: JobSpec, failure: Failure) -> None:
        """It has no result; what needs it is blocked."""
        self._failed += 1
        self._count(request, 0.0)
        CONSOLE.print(Text.assemble(("failed ", "bold red"), visible(f"{request.name}: {failure.message}")))

    def _count(self, request: JobSpec, seconds: float) -> None:
        self._now.pop(request.digest, None)
        self._said.pop(request.digest, None)
        expected = self._costs.pop(request.digest, 0.0)
        if seconds:
            self._spent, self._made = self._spent + expected, self._made + seconds

    def _tell(self, name: str, score: str, took: str) -> None:
        self._recent.append((visible(name), score, took))
        if not CONSOLE.is_terminal:
            line = visible(f"[{self._done}/{self._all}] {name}  {score}  {took}")
            CONSOLE.print(Text(line), soft_wrap=True)

    def _left(self) -> float:
        """Seconds that are left: the estimate, stretched by how wrong it was so far."""
        stretch = self._made / self._spent if self._spent else 1.0
        return sum(self._costs.values()) * stretch / self._workers

    def _panel(self) -> RenderableType:
        head = Table.grid(padding=(0, 2))
        left = f"about {duration(self._left())} left" if self._costs else ""
        counts = f"{self._done} of {self._all} done"
        failed = f"{self._failed} failed" if self._failed else ""
        head.add_row(ProgressBar(self._all, self._done, width=24), counts, Text(failed, "red"), left)
        rows = Table.grid(padding=(0, 2))
        for name, score, took in self._recent:
            rows.add_row(Text(name), score, Text(took, "dim"))
        for digest, (name, began) in list(self._now.items()):
            since = duration(time.monotonic() - began)
            rows.add_row(Text(name, "bold"), "", Text(f"{since}  {self._said.get(digest, '')[:100]}"))
        return Group(head, rows)
