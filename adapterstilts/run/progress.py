"""Messages and progress bars on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.text import Text

from adapterstilts.terminal_text import visible

_CONSOLE = ContextVar("console", default=Console(stderr=True))  # noqa: B039 (nobody changes it)


@contextmanager
def speaking_to(console: Console | None) -> Iterator[None]:
    """Sends all output to another console within the context; None changes nothing."""
    token = _CONSOLE.set(console or _CONSOLE.get())
    try:
        yield
    finally:
        _CONSOLE.reset(token)


def say(message: str) -> None:
    """Prints one line on standard error."""
    _CONSOLE.get().print(Text(visible(message)), highlight=False, soft_wrap=True)


class Bar:
    """One bar with a status text; created by `bar`."""

    def __init__(self, progress: Progress, title: str, total: int, count: int):
        self._progress = progress
        self._task = progress.add_task(visible(title), total=total, completed=count, status="")

    def update(self, count: int, status: str) -> None:
        """Sets the number of finished steps and the text after the bar."""
        self._progress.update(self._task, completed=count, status=status)


@contextmanager
def bar(title: str, total: int, count: int = 0) -> Iterator[Bar]:
    """Shows a progress bar with count, elapsed and remaining time; silent without a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        Remaining(),
        TextColumn("{task.fields[status]}", markup=False),
    )
    console = _CONSOLE.get()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, title, total, count)
