"""How `grid table` prints: for the terminal, as Markdown, as CSV and as JSON."""

from __future__ import annotations

import html
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from adapterstilts.cli.console import note, print_csv, print_json, table
from adapterstilts.terminal_text import visible

if TYPE_CHECKING:
    from adapterstilts.grid.plan import Plan
    from adapterstilts.grid.records import Records
    from adapterstilts.report.gains import Effect


def show(plan: Plan, records: Records, per_language: bool, form: str) -> None:
    """Prints the table, and on standard error what is damaged and does not count in it.

    Args:
        form: "markdown", "csv", "json", or "" for the terminal.
    """
    from adapterstilts.report.gains import MARKS, effects, effects_by_language, grid_of

    damaged: list[str] = []
    if per_language:
        columns = effects_by_language(plan, records, damaged.append)
    else:
        columns = {"": effects(plan, records, damaged.append)}
    for text in damaged:
        note(f"{text} (`grid verify` marks it, and `grid run` makes it again)")
    if form in ("csv", "json"):
        lines = [_line(effect, code) for code, found in columns.items() for effect in found]
        _as_csv(lines) if form == "csv" else print_json(lines)
        return
    head, *rows = grid_of([], columns) if per_language else grid_of(columns[""])
    first = head.index("intermediate") + 1
    if form == "markdown":
        _as_markdown(head, rows)
    else:
        table(head, rows, right=head[first:])
    shown = [effect for found in columns.values() for effect in found]
    pulled = ", ".join(dict.fromkeys(effect.pulled for effect in shown if effect.pulled))
    for mark, meaning in MARKS.items():
        if any(mark in cell for row in rows for cell in row[first:]):
            note(f"{mark} {meaning}{f' ({pulled})' if mark == '^' else ''}")
    if any(effect.mixed for effect in shown):
        _explain_precisions(plan, records)


def _explain_precisions(plan: Plan, records: Records) -> None:
    """Says which results are of which precision."""
    from adapterstilts.cli.grid_print import print_provenance
    from adapterstilts.grid.status import read_status

    print_provenance(plan.jobs(), read_status(plan.jobs(), records, quick=True))


def _line(effect: Effect, language: str) -> dict[str, object]:
    """One cell, its numbers rounded."""
    found = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(effect).items()
    }
    return {**found, "language": language or "mean without en"}


def _as_csv(lines: list[dict[str, object]]) -> None:
    from adapterstilts.report.gains import Effect

    print_csv([*(field.name for field in fields(Effect)), "language"], lines)


def _as_markdown(head: list[str], rows: list[list[str]]) -> None:
    first, *others = (" | ".join(map(_markdown_cell, row)) for row in (head, *rows))
    print(f"| {first} |\n|{'---|' * len(head)}")
    for row in others:
        print(f"| {row} |")


def _markdown_cell(text: str) -> str:
    """A text in one cell of a Markdown table: no markup of it counts."""
    line = " ".join(visible(text).split())
    return html.escape(line, quote=False).replace("\\", r"\\").replace("|", r"\|")
