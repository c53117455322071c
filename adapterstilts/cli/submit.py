"""The verb `submit`: writes predictions in the format of XTREME's evaluation."""

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
        typer.Argument(help="Runs: ids, unique prefixes, or folders.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder to create.", show_default=False)],
    targets: Annotated[
        str | None,
        typer.Option(help="Comma-separated targets (default: all of the suite).", show_default=False),
    ] = None,
    suite: Annotated[str, typer.Option(help="Suite: xtreme or xtreme-r.")] = "xtreme",
    split: Annotated[str, typer.Option(help="Split of the evaluations: test, dev or file.")] = "test",
    partial: Annotated[
        bool, typer.Option("--partial", help="Write a partial submission if predictions are missing.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder in XTREME's layout.", envvar="ADAPTERSTILTS_DATA", show_default=False),
    ] = None,
    eval_file: Annotated[
        str | None,
        typer.Option(help="Evaluated file, for --split file; {lang} is replaced.", show_default=False),
    ] = None,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Write the predictions of runs in the format of XTREME's evaluation.

    Every language of every target must have been evaluated on all rows. If several runs have evaluated a
    target, the first one's predictions are used.

    Example: adapterstilts submit single-mnli-1a2b single-squad_v1-3c4d --out submission --partial
    """
    from adapterstilts import EvaluationOptions
    from adapterstilts import submit as write_submission

    names = [name.strip() for name in targets.split(",") if name.strip()] if targets else []
    options = EvaluationOptions(store=store, data_dir=data_dir, eval_file=eval_file)
    submission = write_submission(runs, out, names, suite, split, partial, options)
    if as_json:
        print_json({**asdict(submission), "folder": str(submission.folder)})
        return
    _print_submission(submission)


def _print_submission(submission: Submission) -> None:
    """Prints a row per target, and notes on unchecked, leaked and missing files."""
    counts: dict[str, list[tuple[str, int]]] = {}
    for file in submission.files:
        counts.setdefault(file.target, []).append((file.language, file.rows))
    rows = [
        (target, str(len(files)), str(sum(n for _, n in files)), ", ".join(code for code, _ in files))
        for target, files in counts.items()
    ]
    table(("target", "files", "rows", "languages"), rows, right=("files", "rows"))
    # Without the data a prediction can belong to another version of a row.
    unchecked = [f"{file.target} {file.language}" for file in submission.files if not file.checked]
    if unchecked:
        note(f"not compared with their rows, which were not found: {', '.join(unchecked)}")
    for file in submission.files:
        if file.leaked:
            note(f"leaked: {file.target} {file.language}: {file.leaked} of {file.rows} rows were trained on")
    for target, languages in submission.missing.items():
        for code, reason in languages.items():
            note(f"missing: {target} {code}: {reason}")
    note(f"wrote {submission.folder}")
