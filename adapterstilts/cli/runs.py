"""The verb `runs`: lists, shows and removes what the store holds."""

from __future__ import annotations

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
    typer.Argument(help="Run id, unique prefix of one or of a key, or a run's folder.", show_default=False),
]
COLUMNS = ("id", "task", "composition", "language", "seed", "score", "created", "size")


@app.callback(invoke_without_command=True)
def runs(context: typer.Context, store: StorePath = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List the finished runs; show or remove one.

    Example: adapterstilts runs --json
    """
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
    """Show a run: all that determined it, its metrics and its files, every checksum checked.

    Example: adapterstilts runs show single-squad_v1-1a2b
    """
    from adapterstilts.store import Store, effect_lines

    place = Store(store or context.obj)
    found = place.find(run)
    pulled = found.pulled
    effect = effect_lines(_evaluated(found, place))
    job = {**found.job.model_dump(mode="json"), "key": found.key}
    described = {
        **asdict(found),
        "job": job,
        "path": str(found.path),
        "precision": found.precision or None,
        "pulled": pulled and pulled.model_dump(),
        "effect": effect,
    }
    if as_json:
        print_json(described)
        return
    precision = f", computed in {found.precision}" if found.precision else ""
    echo(f"{found.id}\n{found.path}, {size_text(found.size)}, {found.created}{precision}\n")
    if pulled:
        echo(f"pulled from {pulled.repo} at commit {pulled.commit}\n")
    for line in effect:
        echo(line)
    print_json({"job": job, "metrics": found.metrics}, indent=2)
    files = sorted(path for path in found.path.rglob("*") if path.is_file())
    names = [(str(path.relative_to(found.path)), size_text(path.stat().st_size)) for path in files]
    table(("file", "size"), names, right=("size",))


def _evaluated(run: Run, store: Store) -> Run:
    """The run that an evaluation is of; the run itself for a training, or where that run was not found."""
    from adapterstilts.errors import StoreError
    from adapterstilts.job import EvalJob

    try:
        return store.find(run.job.run) if isinstance(run.job, EvalJob) and run.job.run else run
    except StoreError:  # removed or damaged: what is shown is whole all the same
        return run


@app.command("rm")
def remove(
    context: typer.Context,
    run: Reference,
    store: StoreChoice = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a run, damaged or not.

    Example: adapterstilts runs rm eval-xquad-de-1a2b --yes
    """
    from adapterstilts.store import Run, Store

    place = Store(store or context.obj)
    folder = place.locate(run)
    made = _made_from(folder, [each for each in place.scan(quick=True) if isinstance(each, Run)])
    built = f" {made} other runs were made from it." if made else ""
    if not yes and not typer.confirm(visible(f"Remove {folder.name}?{built}"), err=True):
        raise typer.Exit(1)
    place.remove(run)
    note(f"removed {folder.name}")


def _made_from(folder: Path, runs: list[Run]) -> int:
    """How many runs name this one's key as a source, or evaluate it."""
    short = folder.name.rpartition("-")[2]
    return sum(any(key.startswith(short) for key in run.parents) for run in runs)


def _listing(store: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The good runs, oldest first, and the damaged ones, as JSON values."""
    from adapterstilts.errors import DamagedError
    from adapterstilts.store import Run, Store

    good: list[Run] = []
    pulled: dict[str, PulledFrom] = {}
    damaged = []
    for run in Store(store).scan(quick=True):
        try:
            if not isinstance(run, Run):
                raise DamagedError(run.reason, run.path.name)
            if source := run.pulled:
                pulled[run.key] = source
            good.append(run)
        except DamagedError as error:
            damaged.append({"id": error.run, "path": str(run.path), "damaged": str(error)})
    by_key = {run.key: run for run in good}
    ordered = sorted(good, key=lambda run: (run.created, run.id))
    return [_entry(run, by_key, pulled) for run in ordered], damaged


def _entry(run: Run, by_key: Mapping[str, Run], pulled: Mapping[str, PulledFrom]) -> dict[str, Any]:
    """A run as JSON; an evaluation has composition, origin and effect of the run that it evaluates."""
    from adapterstilts.job import EvalJob, TrainJob
    from adapterstilts.store import effect_in

    evaluation = run.job if isinstance(run.job, EvalJob) else None
    trained = by_key.get(evaluation.run, run) if evaluation else run
    training = trained.job if isinstance(trained.job, TrainJob) else None  # None: the bare backbone
    score = run.metrics.get("score", run.metrics.get("dev", {}).get("score"))
    source = pulled.get(trained.key)
    effect = effect_in(trained.metrics)
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
    """Prints the runs; columns for precision and origin appear only where runs differ in them."""
    from adapterstilts.store import PulledFrom
    from adapterstilts.store.effect import MARK, MEANING

    precisions = sorted({entry["precision"] for entry in entries if entry["precision"]})
    mixed = ("precision",) if len(precisions) > 1 else ()
    pulled = ("pulled from",) if any(entry["pulled"] for entry in entries) else ()
    shown = (*COLUMNS, *mixed, *pulled)
    if entries:
        for entry in entries:
            entry["pulled from"] = entry["pulled"] and str(PulledFrom(**entry["pulled"]))
        rows = [
            [_cell(name, entry[name]) + MARK * (name == "score" and bool(entry["inert"])) for name in shown]
            for entry in entries
        ]
        table(shown, rows, right=("seed", "score", "size"))
        if any(entry["inert"] for entry in entries):
            note(f"{MARK} {MEANING}")
        if mixed:
            note(
                f"these runs were computed in {' and '.join(precisions)}: compare only runs of one precision"
            )
    elif not damaged:
        note(f"no runs in {store} yet: `adapterstilts demo` makes some")
    for run in damaged:
        note(f"damaged, never used: {run['id']}: {run['damaged']}")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "size":
        return size_text(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)
