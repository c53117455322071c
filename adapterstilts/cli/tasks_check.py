"""The verb `tasks check`: reads a task's definition and its data, and reports what it found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterstilts.cli.console import AsJson, fail, note, print_json, table

if TYPE_CHECKING:
    from adapterstilts.data.load import DataLocation, Loaded
    from adapterstilts.data.summary import Summary
    from adapterstilts.tasks.spec import Split, Task

COLUMNS = ("split", "language", "rows", "words", "characters", "repeated", "in training", "labels", "from")
NUMBERS = ("rows", "words", "characters", "repeated", "in training")
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
SHOWN = 8  # labels in the table; JSON has all


def check(
    file: Annotated[
        str, typer.Argument(help="YAML file of a custom task, or the name of a task.", show_default=False)
    ],
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar="ADAPTERSTILTS_DATA", help="Folder in XTREME's layout.", show_default=False),
    ] = None,
    hub: Annotated[bool, typer.Option("--hub", help="Read the Hub dataset: downloads.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a task's definition and its data; report rows, labels, languages, lengths and the first problem.

    Lengths are shortest/median/longest. The exit code is 2 if there is a problem.

    Example: adapterstilts tasks check examples/sick.yaml --data-dir data
    """
    from adapterstilts.data.load import DataLocation
    from adapterstilts.errors import StiltsError
    from adapterstilts.tasks.lookup import get_task

    task = get_task(file)
    source: Any = "hub" if hub else "bundled" if task.bundled else "folder"
    reports, problem = [], None
    try:
        for report in _reports(task, DataLocation(data_dir=data_dir, source=source)):
            reports.append(report)  # noqa: PERF402  (those before a problem are shown)
    except StiltsError as error:
        problem = str(error)
    if as_json:
        print_json({"task": task.name, "splits": reports, "problem": problem})
    elif reports:
        table(COLUMNS, map(_row, reports), right=NUMBERS)
    for report in reports if not as_json else ():
        for message in report["notes"]:
            note(f"{report['split']} {report['language']}: {message}")
    if problem:
        fail(problem)
        raise typer.Exit(2)
    if not as_json:
        note(f"{task.name} ({task.kind}, scored by {task.metric}): no problem found")


def _reports(task: Task, location: DataLocation) -> Iterator[dict[str, Any]]:
    """Yields one report for each split and language with data.

    Raises:
        StiltsError: A split of the definition has no data, or its data has an error.
    """
    from adapterstilts.data.item_digests import Digests, digests
    from adapterstilts.data.load import find_data
    from adapterstilts.data.summary import Summary

    index = find_data(task, location)
    training: Digests | None = None
    for split in _splits(task, location):
        tested = split == "test"  # some releases distribute it without labels
        for language in index.languages(split, hidden=tested) or task.languages[:1]:
            loaded = index.load(split, language, hidden=tested)
            summary = Summary.of(loaded.rows, training if split != "train" else None)
            if split == "train" and language == "en":
                training = digests(loaded.rows)
            yield _report(split, language, loaded, summary)


def _splits(task: Task, location: DataLocation) -> list[Split]:
    """Returns the splits of a custom task's definition, or those with data for other tasks."""
    from adapterstilts.data.load import available
    from adapterstilts.tasks.spec import HubSource

    source = task.hub if location.source == "hub" else task.bundled or task.folder
    if source is None:  # a mixture, or a task without a source: reading it reports the error
        return [split for split in SPLITS if task.parts and available(task, split, location)] or ["train"]
    sources = source.splits if isinstance(source, HubSource) else source.files
    splits = [split for split in SPLITS if split in sources]
    with_data = splits if task.base else [split for split in splits if available(task, split, location)]
    return with_data or splits[:1]


def _report(split: str, language: str, loaded: Loaded, summary: Summary) -> dict[str, Any]:
    about = {"from": loaded.place, "dropped": loaded.origin["dropped"], "hidden": loaded.hidden}
    about["notes"] = list(loaded.notes)
    return {"split": split, "language": language, **about, **asdict(summary)}


def _row(report: dict[str, Any]) -> tuple[str, ...]:
    labels = [f"{label} {count}" for label, count in report["labels"].items()]
    more = [f"… {len(labels) - SHOWN} more"] if len(labels) > SHOWN else []
    return (
        report["split"], report["language"], str(report["rows"]), _lengths(report["words"]),
        _lengths(report["characters"]), str(report["repeated"]), str(report["trained"]),
        "hidden" if report["hidden"] else ", ".join(labels[:SHOWN] + more), report["from"],
    )  # fmt: skip


def _lengths(values: tuple[int, float, int]) -> str:
    minimum, middle, maximum = values
    return f"{minimum}/{middle:g}/{maximum}"
