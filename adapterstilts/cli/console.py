"""Where the command line writes: results on standard output, messages on standard error, and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from adapterstilts.masking import masked

WIDE = 10_000  # columns where there is no terminal: in files a row of a table is a line

OUT = Console(width=None if sys.stdout.isatty() else WIDE)
ERR = Console(stderr=True, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
StorePath = Annotated[
    Path, typer.Option("--store", "-C", envvar="ADAPTERSTILTS_STORE", help="Folder of results.")
]
DEFAULT_STORE = Path("checkpoints")


def fail(message: str) -> None:
    """Says what went wrong, on standard error."""
    ERR.print(Text.assemble(("error: ", "bold red"), masked(message)))


def note(message: str) -> None:
    """One line for the person at the terminal, on standard error."""
    ERR.print(Text(masked(message)))


def busy(what: str) -> Status:
    """Shows at a terminal that something goes on, for what has no steps to count; a context manager."""
    return ERR.status(what)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Prints a table on standard output; texts are shown as they are, without markup.

    Args:
        right: the columns that hold numbers.
    """
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    OUT.print(shown)


def size_text(size: int) -> str:
    """A number of bytes for people, in powers of 1000.

    >>> size_text(999), size_text(12_345_678)
    ('999 B', '12.3 MB')
    """
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
