"""Output of the command line: results on standard output, messages on standard error.

Labels, texts, names and paths may come from strangers. They are never parsed as markup, and control
characters, which could change the terminal, are spelled out.
"""

from __future__ import annotations

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
from adapterstilts.terminal_text import visible

MAX_MESSAGE = 10_000  # characters
FILE_WIDTH = 10_000  # columns if the output is not a terminal, so that each row of a table is one line

OUT = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
ERR = Console(stderr=True, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
StorePath = Annotated[
    Path, typer.Option("--store", "-C", envvar="ADAPTERSTILTS_STORE", help="Folder of results.")
]
DEFAULT_STORE = Path("checkpoints")  # in the working folder


def plain(text: str, style: str = "") -> Text:
    """Returns a text without markup, with its control characters spelled out."""
    return Text(visible(text), style=style)


def fail(message: str) -> None:
    """Prints an error message on standard error."""
    # Errors of connections can quote URLs with credentials.
    ERR.print(Text.assemble(("error: ", "bold red"), plain(_short(masked(message)))))


def _short(message: str) -> str:
    # A message can quote a text of any length, and the terminal's layout takes time.
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[: MAX_MESSAGE // 2]} … {message[-MAX_MESSAGE // 2 :]}"


def note(message: str) -> None:
    """Prints a note on standard error."""
    ERR.print(plain(_short(masked(message))))


def echo(*parts: str | Text) -> None:
    """Prints one line on standard output; a `Text` keeps its style."""
    line = Text.assemble(*(plain(part) if isinstance(part, str) else part for part in parts))
    OUT.print(line, highlight=False)


def busy(message: str) -> Status:
    """Shows a spinner with a message while a block runs; for work without steps to count."""
    return ERR.status(plain(message))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[str] = (),
    title: str | None = None,
    footer: Iterable[Sequence[str]] = (),
) -> None:
    """Prints a table on standard output.

    Args:
        columns: Headers of the columns.
        rows: Cells of each row.
        right: Columns that are aligned to the right, such as those of numbers.
        title: Title of the table, which has borders then.
        footer: Rows below a line, such as means.
    """
    if title is None:
        grid = Table(box=None, pad_edge=False, header_style="bold")
    else:
        grid = Table(title=plain(title), title_justify="left")
    for name in columns:
        # Long cells are folded, not cut off: an id must be complete.
        grid.add_column(plain(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(plain, row))
    grid.add_section()
    for row in footer:
        grid.add_row(*map(plain, row))
    OUT.print(grid)


def print_json(value: Any, indent: int | None = None) -> None:
    """Prints a value as JSON, in one line unless `indent` is set; NaN and infinity become null."""
    text = json.dumps(_finite(value), ensure_ascii=False, indent=indent)
    # Letters are printed unescaped unless the stream cannot encode them or one would control the terminal.
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        safe = visible(text) == text
    except (UnicodeEncodeError, LookupError):
        safe = False
    print(text if safe else json.dumps(_finite(value), indent=indent))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def size_text(size: int) -> str:
    """Returns a number of bytes with a unit, in powers of 1000.

    >>> size_text(999), size_text(12_345_678)
    ('999 B', '12.3 MB')
    """
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
