"""Help texts: plain sections of options and verbs that fit 80 columns.

Typer's own boxes cut off long option names at that width and keep the line breaks of docstrings.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class _HelpCommand(TyperCommand):
    """A verb whose help is printed in plain sections."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes usage, description and options."""
        _write_help(self, ctx, formatter)


class HelpGroup(TyperGroup):
    """A verb with verbs below it, whose help is printed in plain sections."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes usage, description, verbs and options."""
        _write_help(self, ctx, formatter)


def use_plain_help(app: typer.Typer) -> None:
    """Makes all verbs of a program print plain help."""
    for command in app.registered_commands:
        command.cls = _HelpCommand
    for group in app.registered_groups:
        group.cls = HelpGroup
        if group.typer_instance:
            use_plain_help(group.typer_instance)


def _write_help(command: _HelpCommand | HelpGroup, ctx: Any, formatter: Any) -> None:
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    sections: dict[str, list[tuple[str, str]]] = {}
    for name, verb in command.commands.items() if isinstance(command, HelpGroup) else ():
        if not verb.hidden:
            panel = getattr(verb, "rich_help_panel", None)
            # The first paragraph; click's own short help ends in the middle of a sentence.
            summary = " ".join((verb.help or "").partition("\n\n")[0].split())
            sections.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, summary))
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            default = "Arguments" if param.param_type_name == "argument" else "Options"
            panel = getattr(param, "rich_help_panel", None)
            sections.setdefault(panel if isinstance(panel, str) else default, []).append(record)
    # If all that matters is in other sections, what remains, such as --json and --help, comes last.
    if len(sections.get("Options", [])) <= 2:
        sections["Options"] = sections.pop("Options", [])
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
