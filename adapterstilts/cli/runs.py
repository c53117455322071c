"""The verb `runs`: lists, shows and removes what the store holds."""

from __future__ import annotations

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
from adapterstilts.visible import visible

if TYPE_CHECKING:
    from adapterstilts.store import Damaged, Run

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
    from adapterstilts.store import Run, Store

    found = list(Store(store).scan(quick=True))
    good = sorted((run for run in found if isinstance(run, Run)), key=lambda run: (run.created, run.id))
    bad = [each for each in found if not isinstance(each, Run)]
    if as_json:
        print_json(_entries(good) + [_damage(each) for each in bad])
        return
    _print(good, bad, store)


@app.command("show")
def show(context: typer.Context, run: Reference, store: StoreChoice = None, as_json: AsJson = False) -> None:
    """Show a run: all that determined it, its metrics and its files, every checksum checked.

    Example: adapterstilts runs show single-squad_v1-1a2b
    """
    from adapterstilts.store import Store

    found = Store(store or context.obj).find(run)
    described = {**asdict(found), "path": str(found.path)}
    if as_json:
        print_json(described)
        return
    echo(f"{found.id}\n{found.path}, {size_text(found.size)}, {found.created}\n")
    print_json({"job": found.job, "metrics": found.metrics}, indent=2)
    files = sorted(path for path in found.path.rglob("*") if path.is_file())
    names = [(str(path.relative_to(found.path)), size_text(path.stat().st_size)) for path in files]
    table(("file", "size"), names, right=("size",))


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
    return sum(any(key.startswith(short) for key in _parents(run)) for run in runs)


def _parents(run: Run) -> list[str]:
    """Keys of the runs that this one was made from."""
    evaluated = run.job.get("run")
    return [evaluated] if evaluated else list(run.job.get("composition", {}).get("sources", ()))


def _entries(runs: list[Run]) -> list[dict[str, Any]]:
    """The runs as JSON values; an evaluation has the composition of the run that it evaluates."""
    by_key = {run.key: run for run in runs}
    return [_entry(run, by_key) for run in runs]


def _entry(run: Run, by_key: dict[str, Run]) -> dict[str, Any]:
    trained = by_key.get(run.job.get("run", ""), run)
    score = run.metrics.get("score", run.metrics.get("dev", {}).get("score"))
    return {
        "id": run.id,
        "key": run.key,
        "type": run.job["type"],
        "task": run.job["task"],
        "composition": trained.job.get("composition", {}).get("kind"),
        "sources": _parents(run),
        "language": run.job.get("language"),
        "seed": trained.job.get("seed"),
        "score": score,
        "created": run.created,
        "size": run.size,
        "path": str(run.path),
        "damaged": None,
    }


def _damage(damaged: Damaged) -> dict[str, Any]:
    return {"id": damaged.path.name, "path": str(damaged.path), "damaged": damaged.reason}


def _print(good: list[Run], bad: list[Damaged], store: Path) -> None:
    if good:
        rows = [[_cell(name, entry[name]) for name in COLUMNS] for entry in _entries(good)]
        table(COLUMNS, rows, right=("seed", "score", "size"))
    elif not bad:
        note(f"no runs in {store} yet: `adapterstilts demo` makes some")
    for each in bad:
        note(f"damaged, never used: {each.path.name}: {each.reason}")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "size":
        return size_text(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)
