"""The verb `runs`: lists, shows and removes the runs of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterstilts.cli.console import (
    DEFAULT_STORE,
    AsJson,
    StorePath,
    echo,
    note,
    print_json,
    size_text,
    table,
)
from adapterstilts.terminal_text import visible

if TYPE_CHECKING:
    from adapterstilts.store import PulledFrom, Run, Store

app = typer.Typer(no_args_is_help=False)
StoreChoice = Annotated[
    Path | None, typer.Option("--store", "-C", help="Folder of results.", show_default=False)
]
Reference = Annotated[
    str,
    typer.Argument(help="Id or key of a run, a unique prefix of it, or its folder.", show_default=False),
]
COLUMNS = ("id", "task", "composition", "language", "seed", "score", "created", "size")


@app.callback(invoke_without_command=True)
def runs(context: typer.Context, store: StorePath = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List the finished runs; show or remove one.

    Example: adapterstilts runs --json
    """
    # `runs --store X show ...` works like `runs show ... --store X`.
    context.obj = store
    if context.invoked_subcommand:
        return
    entries, damaged = _listing(store)
    if as_json:
        print_json([*entries, *damaged])
        return
    _print(entries, damaged, store)


@app.command("show")
def show(context: typer.Context, run: Reference, store: StoreChoice = None, as_json: AsJson = False) -> None:
    """Show a run: its job, its metrics and its files. All checksums are verified.

    Example: adapterstilts runs show single-squad_v1-1a2b
    """
    from adapterstilts.store import Effect, Store

    runs = Store(store or context.obj)
    entry = runs.find(run)
    pulled = entry.pulled
    effect = Effect.lines_of(_evaluated(entry, runs))
    job = {**entry.job.model_dump(mode="json"), "key": entry.key}
    if as_json:
        data = {**asdict(entry), "job": job, "path": str(entry.path), "precision": entry.precision or None}
        print_json({**data, "pulled": pulled and pulled.model_dump(), "effect": effect})
        return
    precision = f", computed in {entry.precision}" if entry.precision else ""
    echo(f"{entry.id}\n{entry.path}, {size_text(entry.size)}, {entry.created}{precision}\n")
    if pulled:
        echo(f"pulled from {pulled.repo} at commit {pulled.commit}\n")
    for line in effect:
        echo(line)
    print_json({"job": job, "metrics": entry.metrics}, indent=2)
    files = sorted(path for path in entry.path.rglob("*") if path.is_file())
    names = [(str(path.relative_to(entry.path)), size_text(path.stat().st_size)) for path in files]
    table(("file", "size"), names, right=("size",))


def _evaluated(run: Run, store: Store) -> Run:
    """Returns the run that an evaluation evaluates; the run itself for a training, or if there is none."""
    from adapterstilts.errors import StoreError
    from adapterstilts.job import EvalJob

    try:
        return store.find(run.job.run) if isinstance(run.job, EvalJob) and run.job.run else run
    # Removed or damaged: the evaluation itself is complete and can be shown.
    except StoreError:
        return run


@app.command("rm")
def remove(
    context: typer.Context,
    run: Reference,
    store: StoreChoice = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a run, damaged or not.

    Example: adapterstilts runs rm eval-xquad-de-1a2b --yes
    """
    from adapterstilts.store import Run, Store

    runs = Store(store or context.obj)
    folder = runs.locate(run)
    # Dependents are named in the question, but do not prevent the removal.
    # The run may be damaged, so that its key is known only by the short form in its folder's name.
    key = folder.name.rpartition("-")[2]
    entries = [entry for entry in runs.scan(quick=True) if isinstance(entry, Run)]
    count = sum(any(parent.startswith(key) for parent in entry.parents) for entry in entries)
    dependents = f" {count} other run{'s depend' if count > 1 else ' depends'} on it." if count else ""
    if not yes and not typer.confirm(visible(f"Remove {folder.name}?{dependents}"), err=True):
        raise typer.Exit(1)
    runs.remove(run)
    note(f"removed {folder.name}")


def _listing(store: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the intact runs, oldest first, and the damaged ones, as JSON values."""
    from adapterstilts.errors import DamagedError
    from adapterstilts.store import Damaged, Run, Store

    intact: list[Run] = []
    pulled: dict[str, PulledFrom] = {}
    damaged = []
    for run in Store(store).scan(quick=True):
        try:
            if not isinstance(run, Run):
                raise DamagedError(run.reason, run.path.name)
            # Reads origin.json, which may be damaged too.
            if source := run.pulled:
                pulled[run.key] = source
            intact.append(run)
        except DamagedError as error:
            foreign = isinstance(run, Damaged) and run.foreign
            entry = {"id": error.run, "path": str(run.path), "damaged": str(error), "foreign": foreign}
            damaged.append(entry)
    by_key = {run.key: run for run in intact}
    ordered = sorted(intact, key=lambda run: (run.created, run.id))
    return [_entry(run, by_key, pulled) for run in ordered], damaged


def _entry(run: Run, by_key: Mapping[str, Run], pulled: Mapping[str, PulledFrom]) -> dict[str, Any]:
    """Returns a run as JSON; an evaluation has composition, origin and effect of the run it evaluates."""
    from adapterstilts.job import EvalJob, TrainJob
    from adapterstilts.store import Effect

    evaluation = run.job if isinstance(run.job, EvalJob) else None
    trained = by_key.get(evaluation.run, run) if evaluation else run
    training = trained.job if isinstance(trained.job, TrainJob) else None  # None: the bare backbone
    score = run.metrics.get("score", run.metrics.get("dev", {}).get("score"))
    source = pulled.get(trained.key)
    effect = Effect.of(trained.metrics)
    return {
        "id": run.id,
        "key": run.key,
        "type": run.job.type,
        "task": run.job.task,
        "composition": training and training.composition.kind,
        "sources": list(run.parents),
        "language": evaluation and evaluation.language,
        "seed": training and training.seed,
        "precision": run.precision or None,
        "score": score,
        "created": run.created,
        "size": run.size,
        "path": str(run.path),
        "damaged": None,
        "pulled": source and source.model_dump(),
        "inert": effect and effect.inert,
    }


def _print(entries: list[dict[str, Any]], damaged: list[dict[str, Any]], store: Path) -> None:
    """Prints the runs, with columns for precision and origin only if runs differ in them."""
    from adapterstilts.store import PulledFrom
    from adapterstilts.store.effect import MARK, MEANING

    precisions = sorted({entry["precision"] for entry in entries if entry["precision"]})
    mixed = ("precision",) if len(precisions) > 1 else ()
    pulled = ("pulled from",) if any(entry["pulled"] for entry in entries) else ()
    columns = (*COLUMNS, *mixed, *pulled)
    if entries:
        for entry in entries:
            entry["pulled from"] = entry["pulled"] and str(PulledFrom(**entry["pulled"]))
        rows = [
            [_cell(name, entry[name]) + MARK * (name == "score" and bool(entry["inert"])) for name in columns]
            for entry in entries
        ]
        table(columns, rows, right=("seed", "score", "size"))
        if any(entry["inert"] for entry in entries):
            note(f"{MARK} {MEANING}")
        if mixed:
            note(
                f"these runs were computed in {' and '.join(precisions)}: compare only runs of the same "
                "precision"
            )
    elif not damaged:
        note(f"no runs in {store} yet: run `adapterstilts demo` to create some")
    for run in damaged:
        if not run["foreign"]:
            note(f"damaged, not used: {run['id']}: {run['damaged']}")
    # The store of another version may hold thousands of runs: one sentence for all of them.
    reasons = Counter(run["damaged"] for run in damaged if run["foreign"])
    for reason, count in reasons.items():
        note(f"not used: {count} {'run' if count == 1 else 'runs'} of another version: {reason}")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "size":
        return size_text(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)
