"""What a person sees of a long computation: a bar on standard error, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    """Lets everything here go to another console meanwhile; None leaves it as it is."""
    before = _CONSOLE.set(console or _CONSOLE.get())
    try:
        yield
    finally:
        _CONSOLE.reset(before)


def say(message: str) -> None:
    """One line for the person at the terminal, on standard error."""
    _CONSOLE.get().print(Text(visible(message)), highlight=False, soft_wrap=True)


class Bar:
    """One bar with a status text; created by `bar`."""

    def __init__(self, progress: Progress, title: str, total: int, done: int):
        self._progress = progress
        self._task = progress.add_task(visible(title), total=total, completed=done, status="")

    def update(self, done: int, status: str) -> None:
        """Sets how much is done and the text behind the bar."""
        self._progress.update(self._task, completed=done, status=status)


@contextmanager
def bar(title: str, total: int, done: int = 0) -> Iterator[Bar]:
    """A progress bar with count, elapsed and remaining time; silent where there is no terminal."""
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
        yield Bar(progress, title, total, done)


def track(batches: Iterable[list[int]], title: str, total: int) -> Iterator[list[int]]:
    """Yields the batches, showing how many of `total` items they covered."""
    done = 0
    with bar(title, total) as shown:
        for batch in batches:
            yield batch
            done += len(batch)
            shown.update(done, "")
