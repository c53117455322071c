"""Progress of a grid run: a live panel at a terminal, else one line for each job."""

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

RECENT_JOBS = 8  # finished jobs in the panel
CONSOLE = Console(stderr=True)
# A message with one of these texts is printed above the panel, so that it stays on the screen.
LASTING_MESSAGES = ("out of memory", "damaged", "lost the worker", "precision: auto")


def duration(seconds: float) -> str:
    """Formats a number of seconds.

    >>> duration(7.4), duration(150), duration(7200), duration(200_000)
    ('7 s', '2 min 30 s', '2 h 00 min', '2 d 8 h')
    """
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    if rounded < 86400:
        return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
    return f"{rounded // 86400} d {rounded % 86400 // 3600} h"


class ProgressDisplay:
    """Shows the events of a grid run; a `ProgressListener` (`grid/scheduler.py`)."""

    def __init__(self, jobs: Collection[JobSpec], records: Records, estimator: Estimator, workers: int):
        """Prepares the display.

        Args:
            jobs: Jobs of the run.
            records: Records of the store.
            estimator: Estimates of the jobs' times.
            workers: Number of jobs that run at once.
        """
        self._workers = workers
        self._records = records
        self._jobs = jobs
        self._estimator = estimator
        self._estimates: dict[str, float] = {}  # digest -> estimated seconds, of jobs that are not finished
        self._total, self._finished, self._failed = len(jobs), 0, 0
        self._running: dict[str, tuple[str, float]] = {}  # digest -> name and start
        self._messages: dict[str, str] = {}  # digest -> latest message of a running job
        self._recent: deque[tuple[str, str, str]] = deque(maxlen=RECENT_JOBS)
        # Estimated and measured seconds of the jobs that this run computed; their ratio corrects the rest.
        self._estimated_seconds = self._measured_seconds = 0.0
        self._live = Live(console=CONSOLE, get_renderable=self._panel, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if CONSOLE.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def on_start(self, status: GridStatus) -> None:
        """Reads the numbers of jobs and estimates the open ones."""
        pending = status.pending(self._jobs)
        self._estimates = {job.digest: self._estimator.seconds(job)[0] for job in pending}
        self._finished, self._failed = status.count("done"), status.count("failed")

    def on_message(self, digest: str, message: str) -> None:
        """Shows a message of a running job."""
        self._messages[digest] = visible(message)
        if any(text in message for text in LASTING_MESSAGES):
            CONSOLE.print(Text(visible(message)))

    def on_job_started(self, job: JobSpec) -> None:
        """Adds a job to the running ones."""
        # A job that is retried keeps its first start.
        self._running.setdefault(job.digest, (visible(job.name), time.monotonic()))

    def on_job_finished(self, job: JobSpec, record: Record) -> None:
        """Shows a finished job with its score and time."""
        self._finished += 1
        self._remove(job, record.seconds or 0.0)
        text = "existing run" if record.seconds is None else duration(record.seconds)
        text += f", pulled from {record.pulled}" if record.pulled else ""
        try:
            metrics = self._records.read_metrics(record)
        except StoreError:
            self._show_finished(job.name, "damaged", text)
            return
        self._show_finished(job.name, _score(job, metrics), f"{text}{_early_end(job, metrics)}")

    def on_job_failed(self, job: JobSpec, failure: Failure) -> None:
        """Shows a failed job with its error."""
        self._failed += 1
        self._remove(job, 0.0)
        CONSOLE.print(Text.assemble(("failed ", "bold red"), visible(f"{job.name}: {failure.message}")))

    def _remove(self, job: JobSpec, seconds: float) -> None:
        """Removes a job from the running ones and compares its time with the estimate."""
        self._running.pop(job.digest, None)
        self._messages.pop(job.digest, None)
        estimate = self._estimates.pop(job.digest, 0.0)
        if seconds:
            self._estimated_seconds += estimate
            self._measured_seconds += seconds

    def _show_finished(self, name: str, score: str, text: str) -> None:
        self._recent.append((visible(name), score, text))
        if not CONSOLE.is_terminal:
            line = visible(f"[{self._finished}/{self._total}] {name}  {score}  {text}")
            CONSOLE.print(Text(line), soft_wrap=True)

    def _panel(self) -> RenderableType:
        # Estimates are often wrong by one factor for all jobs, such as the speed of the machine.
        factor = self._measured_seconds / self._estimated_seconds if self._estimated_seconds else 1.0
        seconds = sum(self._estimates.values()) * factor / self._workers
        header = Table.grid(padding=(0, 2))
        remaining = f"about {duration(seconds)} left" if self._estimates else ""
        counts = f"{self._finished} of {self._total} done"
        failed = f"{self._failed} failed" if self._failed else ""
        header.add_row(
            ProgressBar(self._total, self._finished, width=24), counts, Text(failed, "red"), remaining
        )
        rows = Table.grid(padding=(0, 2))
        for name, score, text in self._recent:
            rows.add_row(Text(name), score, Text(text, "dim"))
        # A copy: the panel is drawn in a thread of its own.
        for digest, (name, start) in list(self._running.items()):
            elapsed = duration(time.monotonic() - start)
            rows.add_row(Text(name, "bold"), "", Text(f"{elapsed}  {self._messages.get(digest, '')[:100]}"))
        return Group(header, rows)


def _score(job: JobSpec, metrics: Mapping[str, Any]) -> str:
    """The headline metric of an evaluation, or of a training's development data."""
    scores = metrics if job.language else metrics.get("dev", {})
    return f"{scores['score']:.1f}" if "score" in scores else ""


def _early_end(job: JobSpec, metrics: Mapping[str, Any]) -> str:
    """A note on a training that ended before `max_steps`, else ""."""
    hyperparameters = None if job.language else job.settings.hyperparameters
    steps = metrics.get("steps")
    if hyperparameters is None or not hyperparameters.max_steps or not isinstance(steps, int):
        return ""
    if steps >= hyperparameters.max_steps:
        return ""
    reason = "epochs or patience" if hyperparameters.patience else "epochs"
    count = f"{steps} step{'s' * (steps != 1)}"
    return f"  ended after {count}, before max_steps {hyperparameters.max_steps} ({reason} reached)"
