"""The verb `submit`: the runs' predictions as the folder that XTREME's evaluation reads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.cli.console import DEFAULT_STORE, AsJson, StorePath, note, print_json, table

if TYPE_CHECKING:
    from adapterstilts import Submission


def submit(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs: ids, unique prefixes of such, or folders.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The folder to make.", show_default=False)],
    targets: Annotated[
        str | None,
        typer.Option(help="Comma-separated targets; by default all of the suite.", show_default=False),
    ] = None,
    suite: Annotated[str, typer.Option(help="xtreme or xtreme-r.")] = "xtreme",
    split: Annotated[str, typer.Option(help="Which evaluations: test, dev or file.")] = "test",
    partial: Annotated[
        bool, typer.Option("--partial", help="Write what there is, though something is missing.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder in XTREME's layout.", envvar="ADAPTERSTILTS_DATA", show_default=False),
    ] = None,
    eval_file: Annotated[
        str | None,
        typer.Option(help="The file that was evaluated (--split file); {lang}.", show_default=False),
    ] = None,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Write the runs' predictions as the folder that XTREME's evaluation reads.

    Every language of every target must have been evaluated on all of its rows. A target is taken from the
    first of the runs that has evaluated it.

    Example: adapterstilts submit single-mnli-1a2b single-squad_v1-3c4d --out submission --partial
    """
    from adapterstilts import EvaluationOptions
    from adapterstilts import submit as write

    names = [name.strip() for name in targets.split(",") if name.strip()] if targets else []
    options = EvaluationOptions(store=store, data_dir=data_dir, eval_file=eval_file)
    made = write(runs, out, names, suite, split, partial, options)
    if as_json:
        print_json({**asdict(made), "folder": str(made.folder)})
        return
    print_submission(made)


def print_submission(made: Submission) -> None:
    """A row per target; on standard error what was not checked and what is missing."""
    found: dict[str, list[tuple[str, int]]] = {}
    for file in made.files:
        found.setdefault(file.target, []).append((file.language, file.rows))
    rows = [
        (target, str(len(files)), str(sum(n for _, n in files)), ", ".join(code for code, _ in files))
        for target, files in found.items()
    ]
    table(("target", "files", "rows", "languages"), rows, right=("files", "rows"))
    unchecked = [f"{file.target} {file.language}" for file in made.files if not file.checked]
    if unchecked:
        note(f"not compared with their rows, which are not at hand: {', '.join(unchecked)}")
    for file in made.files:
        if file.leaked:
            note(f"leaked: {file.target} {file.language}: {file.leaked} of {file.rows} rows were trained on")
    for target, languages in made.missing.items():
        for code, reason in languages.items():
            note(f"missing: {target} {code}: {reason}")
    note(f"written: {made.folder}")
