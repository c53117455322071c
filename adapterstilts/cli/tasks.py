"""The verb `tasks`: what there is to train on and to evaluate; of one task, what data is at hand."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterstilts.cli.console import OUT, AsJson, table

if TYPE_CHECKING:
    from adapterstilts.data.source import Where
    from adapterstilts.tasks.spec import Split, Task

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def tasks(
    name: Annotated[str | None, typer.Argument(help="Only this task, in full.", show_default=False)] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar="ADAPTERSTILTS_DATA", help="Folder in XTREME's layout.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks: intermediate ones, targets, and the bundled mini tasks; or show one.

    Of one task, the languages whose data is on this machine are shown too.

    Example: adapterstilts tasks xnli
    """
    from adapterstilts.tasks import registry

    chosen = [registry.get(name)] if name else list(registry.all_tasks().values())
    entries = [_entry(task) for task in chosen]
    if name:
        from adapterstilts.data.source import Where

        entries[0]["at_hand"] = at_hand(chosen[0], Where(data_dir=data_dir))
    if as_json:
        print(json.dumps(entries, ensure_ascii=False))
    elif name:
        _print_one(entries[0])
    else:
        columns = ("name", "role", "kind", "languages", "trained on", "metric", "licence")
        table(columns, map(_row, entries), right=("languages",))


def _entry(task: Task) -> dict[str, Any]:
    """The task as JSON values."""
    return {
        "name": task.name,
        "role": task.role,
        "kind": task.kind,
        "languages": list(task.languages),
        "title": task.title,
        "aliases": list(task.aliases),
        "trained_on": task.trained_on,
        "labels": list(task.labels),
        "metric": task.metric,
        "licence": task.licence,
        "citation": task.citation,
        "obtain": task.obtain,
        "hub": task.hub.repo if task.hub else None,
    }


def at_hand(task: Task, where: Where) -> dict[str, list[str]]:
    """Split -> languages whose labelled files are on this machine; splits without any are left out."""
    from adapterstilts.data.source import available

    where = where.model_copy(update={"source": "bundled" if task.bundled else "folder"})
    found = {split: list(available(task, split, where)) for split in SPLITS}
    return {split: languages for split, languages in found.items() if languages}


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["name"], entry["role"], entry["kind"], str(len(entry["languages"])), entry["trained_on"] or "-",
        entry["metric"], entry["licence"],
    )  # fmt: skip


def _print_one(entry: dict[str, Any]) -> None:
    for key, value in entry.items():
        OUT.print(_line(key.replace("_", " "), _text(value)), highlight=False, markup=False)


def _line(name: str, text: str) -> str:
    return textwrap.fill(f"{name:12}{text}", OUT.width, subsequent_indent=" " * 12)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {', '.join(items)}" for key, items in value.items()) or "-"
    return (", ".join(value) if isinstance(value, list) else str(value or "")) or "-"
