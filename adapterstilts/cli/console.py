"""Where the command line writes: results on standard output, messages on standard error, and tables.

Nothing that is printed is read as markup, and no character of it reaches the terminal that would control it:
labels, texts, names and paths come from files of strangers.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from adapterstilts.credentials import masked
from adapterstilts.terminal_text import csv_cell, visible

LONGEST = 10_000  # characters of a message
WIDE = 10_000  # columns where there is no terminal: in files a row of a table is a line

OUT = Console(width=None if sys.stdout.isatty() else WIDE)
ERR = Console(stderr=True, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
StorePath = Annotated[
    Path, typer.Option("--store", "-C", envvar="ADAPTERSTILTS_STORE", help="Folder of results.")
]
DEFAULT_STORE = Path("checkpoints")


def at_terminal() -> bool:
    """Whether standard output is a terminal; not whether colours are forced, as in logs of a CI."""
    return sys.stdout.isatty()


def plain(text: str, style: str = "") -> Text:
    """The text as it is shown: without markup, its control characters spelled out."""
    return Text(visible(text), style=style)


def fail(message: str) -> None:
    """Says what went wrong, on standard error."""
    ERR.print(Text.assemble(("error: ", "bold red"), plain(_short(masked(message)))))


def _short(message: str) -> str:
    """A message that the terminal can lay out soon: a text of one's own may be of any length."""
    if len(message) <= LONGEST:
        return message
    return f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"


def note(message: str) -> None:
    """One line for the person at the terminal, on standard error."""
    ERR.print(plain(_short(masked(message))))


def echo(*parts: str | Text) -> None:
    """One line on standard output; a `Text` keeps its style."""
    line = Text.assemble(*(plain(part) if isinstance(part, str) else part for part in parts))
    OUT.print(line, highlight=False)


def busy(what: str) -> Status:
    """Shows at a terminal that something goes on, for what has no steps to count; a context manager."""
    return ERR.status(plain(what))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[str] = (),
    title: str | None = None,
    last: Iterable[Sequence[str]] = (),
) -> None:
    """Prints a table on standard output; texts are shown as they are, without markup.

    Args:
        right: the columns that hold numbers.
        title: line above a table with borders; without it the table has none.
        last: rows below a line, such as means.
    """
    if title is None:
        shown = Table(box=None, pad_edge=False, header_style="bold")
    else:
        shown = Table(title=plain(title), title_justify="left")
    for name in columns:
        shown.add_column(plain(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(plain, row))
    shown.add_section()
    for row in last:
        shown.add_row(*map(plain, row))
    OUT.print(shown)


def print_json(value: Any, indent: int | None = None) -> None:
    """Prints a value as one line of JSON; numbers that are not finite become null.

    Letters are printed as they are where the stream can hold them, else as escapes.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, indent=indent)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        safe = visible(text) == text
    except (UnicodeEncodeError, LookupError):
        safe = False
    print(text if safe else json.dumps(_finite(value), indent=indent))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Prints CSV with a header; no text in it is a formula, numbers stay numbers."""
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writerow({name: csv_cell(name) for name in columns})
    for row in rows:
        writer.writerow({name: csv_cell(value) for name, value in row.items()})


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
