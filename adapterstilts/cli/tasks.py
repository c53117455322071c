"""The verb `tasks`: lists all tasks, and shows one with its local data."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterstilts.cli.console import OUT, AsJson, echo, print_json, table
from adapterstilts.cli.tasks_check import SPLITS, check
from adapterstilts.cli.tasks_lock import lock

if TYPE_CHECKING:
    from adapterstilts.data.load import DataLocation
    from adapterstilts.tasks.spec import Task

COLUMNS = ("name", "role", "kind", "languages", "English training data", "licence")

app = typer.Typer(no_args_is_help=False)
app.command("check")(check)
app.command("lock")(lock)

Name = Annotated[
    str, typer.Argument(help="Name of a task, or the YAML file of a custom task.", show_default=False)
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="ADAPTERSTILTS_DATA", help="Folder in XTREME's layout.", show_default=False),
]


@app.callback(invoke_without_command=True)
def tasks(context: typer.Context, as_json: AsJson = False) -> None:
    """List the tasks: intermediate ones, targets, and the bundled mini tasks; show or check one.

    Example: adapterstilts tasks --json
    """
    if context.invoked_subcommand:
        return
    from adapterstilts.tasks.registry import all_tasks

    entries = [_entry(task) for task in all_tasks().values()]
    if as_json:
        print_json(entries)
    else:
        table(COLUMNS, map(_row, entries), right=("languages",))


@app.command("show")
def show(
    name: Name,
    data_dir: DataDir = None,
    hub: Annotated[bool, typer.Option("--hub", help="Take the example from the Hub: downloads.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a task: its entry, the languages whose data is on this machine, and an example row.

    Example: adapterstilts tasks show xnli --data-dir download
    """
    from adapterstilts.data.load import DataLocation
    from adapterstilts.tasks.lookup import get_task

    task = get_task(name)
    location = DataLocation(data_dir=data_dir)
    entry = {**_entry(task), "available": available(task, location), "example": _example(task, location, hub)}
    if as_json:
        print_json(entry)
    else:
        _print_one(entry)


def _entry(task: Task) -> dict[str, Any]:
    """The task as JSON values."""
    from adapterstilts.tasks.citations import reference

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
        "reference": reference(task.citation),
        "obtain": task.obtain,
        "hub": task.hub.repo if task.hub else None,
    }


def available(task: Task, location: DataLocation) -> dict[str, list[str]]:
    """Returns split -> languages with local labelled files; splits without any are omitted."""
    from adapterstilts.data.load import find_data

    source = "bundled" if task.bundled else "folder"
    index = find_data(task, location.model_copy(update={"source": source}))
    splits = {split: list(index.languages(split)) for split in SPLITS}
    return {split: languages for split, languages in splits.items() if languages}


def _example(task: Task, location: DataLocation, hub: bool) -> dict[str, Any] | None:
    """Returns the first row of the first split with data, preferably English. None without data."""
    from adapterstilts.data.load import find_data
    from adapterstilts.data.rows import as_json

    local = "bundled" if task.bundled else "folder"
    index = find_data(task, location.model_copy(update={"source": "hub" if hub else local}))
    for split in SPLITS:
        for language in sorted(index.languages(split), key=lambda code: code != "en")[:1]:
            loaded = index.load(split, language)
            row = as_json(loaded.rows[0])
            return {"split": split, "language": language, "from": loaded.place, "row": row}
    return None


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["name"], entry["role"], entry["kind"], str(len(entry["languages"])), entry["trained_on"] or "-",
        entry["licence"],
    )  # fmt: skip


def _print_one(entry: dict[str, Any]) -> None:
    example = entry.pop("example")
    for key, value in entry.items():
        echo(_line(key.replace("_", " "), _text(value)))
    if example is None:
        hint = " (--hub asks the Hub)" if entry["hub"] else ""
        echo(_line("example", f"no data found{hint}"))
        return
    place = f"{example['split']}, {example['language']}, {example['from']}"
    echo(_line("example", place))
    for key, value in example["row"].items():
        text = json.dumps(value, ensure_ascii=False)
        echo(_line(f"  {key}", text))


def _line(name: str, text: str) -> str:
    return textwrap.fill(f"{name:12}{text}", OUT.width, subsequent_indent=" " * 12)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {', '.join(items)}" for key, items in value.items()) or "-"
    return (", ".join(value) if isinstance(value, list) else str(value or "")) or "-"
