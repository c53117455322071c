"""The verb `grid`: every intermediate task by every target by every language, from one recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from adapterstilts.cli import console
from adapterstilts.cli.console import OUT, AsJson, fail, note, size_text, table
from adapterstilts.cli.grid_print import as_dict, print_counts, print_estimate, print_time
from adapterstilts.cli.grid_recipe import estimator_of, ever_needed, read_plan, seconds_of
from adapterstilts.errors import ConfigError

if TYPE_CHECKING:
    from adapterstilts.grid.request import Request

app = typer.Typer(no_args_is_help=True)
RecipeName = Annotated[
    str, typer.Argument(help="A YAML file, or a name: quick, xtreme-folder …", show_default=False)
]
StoreName = Annotated[
    str,
    typer.Option(
        "--store", "-C", envvar="ADAPTERSTILTS_STORE", help="Folder of results, or a URL (s3://bucket/grid)."
    ),
]
DEFAULT_STORE = str(console.DEFAULT_STORE)
Budget = Annotated[
    str | None, typer.Option(help="Only what fits into 8h, 30m or 2d, the most informative first.")
]


@app.callback()
def grid() -> None:
    """Plan and run a whole grid of transfers, and see its table.

    Example: adapterstilts grid plan quick
    """


@app.command("plan")
def plan(
    recipe: RecipeName,
    store: StoreName = DEFAULT_STORE,
    budget: Budget = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Time a few real steps first; minutes, kept for later.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes (or GPUs) that will share the work.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Show what a grid consists of, what is there already, and what the rest will take.

    Example: adapterstilts grid plan quick --budget 1h
    """
    from adapterstilts.grid.shared import records_of
    from adapterstilts.grid.state import look

    planned, records = read_plan(recipe), records_of(store)
    if calibrate:
        from adapterstilts.grid.calibrate import calibrate as time_steps

        time_steps(planned, records, note)
    estimator = estimator_of(records)
    state = look(planned.requests(), records)

    def chosen() -> Iterable[Request]:
        found = planned.requests()
        return estimator.within(found, state, processes * seconds_of(budget)) if budget else found

    if as_json:
        for request in chosen():
            print(json.dumps(as_dict(request, state), ensure_ascii=False))
        return
    fitting = look(chosen(), records) if budget else state
    print_counts(fitting)
    print_estimate(estimator.total(state.left(chosen())), processes)
    if budget:
        note(f"{fitting.all} of {state.all} jobs fit into {budget}")
    for name in planned.left_out:
        note(f"left out: {name}, no data at hand (adapterstilts tasks show {name})")


@app.command("run")
def run(
    recipe: RecipeName,
    store: StoreName = DEFAULT_STORE,
    budget: Budget = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed.")] = False,
    recheck: Annotated[
        bool,
        typer.Option("--recheck", help="Read all data again, to see whether it changed; results stay."),
    ] = False,
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints.")] = 5.0,
    checkpoint_steps: Annotated[
        int | None, typer.Option(help="Optimizer steps between checkpoints.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes at once; one for each GPU, else for each core.", show_default=False
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Who works: processes here, or a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(envvar="RAY_ADDRESS", help="Ray: a cluster; auto: the one here; local: start one.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Ray: workers (default: as many as fit).", show_default=False)
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(min=0, help="Ray: 0.5 lets two share a GPU.", show_default=False)
    ] = None,
) -> None:
    """Make what a grid still lacks; stop it at any time and give the same command again to go on.

    Example: adapterstilts grid run quick
    """
    from adapterstilts.grid.display import Display
    from adapterstilts.grid.local import Crew, Engine, crew_of
    from adapterstilts.grid.pool import Saving
    from adapterstilts.grid.shared import is_url, records_of
    from adapterstilts.grid.state import look
    from adapterstilts.grid.worker import check_encodings

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("a grid starts its own processes: give `grid run` without `accelerate launch`")
    if recheck and is_url(store):
        raise ConfigError("--recheck wants a folder that all workers see, not a URL")
    planned, records = read_plan(recipe), records_of(store)
    requests = list(planned.requests())
    check_encodings(requests)
    estimator = estimator_of(records)
    before = look(requests, records)
    saving = Saving(store, checkpoint_minutes, checkpoint_steps)

    def said(digest: str, line: str) -> None:
        shown.said(digest, line)

    if engine == "ray":
        from adapterstilts.grid.cluster import Cluster, RayCrew

        crew: Crew = RayCrew(saving, Cluster(ray_address, workers, gpus_per_worker), said)
    else:
        crew = crew_of(saving, processes, said)
    if budget:
        time = crew.size * seconds_of(budget)
        requests = list(estimator.within(requests, before, time, retry_failed))
        before = look(requests, records)
    with Display(requests, before, records, estimator, crew.size) as shown:
        work = Engine(crew, records, shown)
        after = work.run(requests, retry_failed, recheck)
    print_counts(after)
    print_time(work.finished, requests, estimator)
    left = after.all - after.total("done")
    if left:
        failed = after.total("failed")
        why = (
            f"{failed} jobs failed: adapterstilts grid status {recipe} says why"
            if failed
            else "give the same command again"
        )
        fail(f"{left} of {after.all} jobs have no result; {why}")
        raise typer.Exit(1)
    note(f"next: adapterstilts grid table {recipe}")


@app.command("status")
def status(recipe: RecipeName, store: StoreName = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show where a grid stands, while it runs and after.

    Example: adapterstilts grid status quick
    """
    import time

    from adapterstilts.grid.display import duration
    from adapterstilts.grid.shared import records_of
    from adapterstilts.grid.state import STATES, look

    planned, records = read_plan(recipe), records_of(store)
    state = look(planned.requests(), records)
    total = estimator_of(records).total(state.left(planned.requests()))
    if as_json:
        print(
            json.dumps(
                {
                    "counts": [
                        {"type": kind, "state": where, "jobs": n} for (kind, where), n in state.counts.items()
                    ],
                    "totals": {name: state.total(name) for name in STATES},
                    "running": [vars(each) for each in state.running],
                    "failures": [vars(each) for each in state.failures.values()],
                    "seconds_left": round(total.seconds, 1),
                },
                ensure_ascii=False,
            )
        )
        return
    print_counts(state)
    for each in state.running:
        note(f"running: {each.name} (process {each.process}, {duration(max(0.0, time.time() - each.since))})")
    for failure in state.failures.values():
        note(f"failed: {failure.name}: {failure.message}\n  {records.failure_file(failure.request)}")
    print_estimate(total)


@app.command("verify")
def verify(recipe: RecipeName, store: StoreName = DEFAULT_STORE) -> None:
    """Check every byte of a grid's results; `grid run` makes again what is damaged.

    Example: adapterstilts grid verify quick
    """
    from adapterstilts.grid.shared import records_of
    from adapterstilts.grid.upkeep import verify as check_all

    found = check_all(read_plan(recipe).requests(), records_of(store))
    for name, reason in found.damaged.items():
        OUT.print(f"damaged: {name}: {reason}", highlight=False, markup=False)
    for name in found.gone:
        OUT.print(f"gone: {name}", highlight=False, markup=False)
    OUT.print(f"{found.whole} runs are whole", highlight=False)
    if found.damaged or found.gone:
        note(f"adapterstilts grid run {recipe} makes them again")
        raise typer.Exit(1)


@app.command("gc")
def gc(
    recipes: Annotated[list[str], typer.Argument(help="All recipes whose results stay.", show_default=False)],
    store: StoreName = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove results of grids that none of the given recipes needs; what was made by hand stays.

    Example: adapterstilts grid gc quick my-grid.yaml
    """
    from adapterstilts.grid.shared import is_url, records_of
    from adapterstilts.grid.upkeep import garbage, sweep

    if is_url(store):
        raise ConfigError("gc wants a folder, not a URL")
    records = records_of(store)
    found = garbage((each for name in recipes for each in ever_needed(name)), records)
    table(("run", "size"), [(name, size_text(size)) for name, size in found.runs.items()], right=("size",))
    if found.kept:
        note(f"{found.kept} runs that no grid asked for stay")
    if not found.runs:
        note(
            f"{len(found.leftovers)} leftovers of kills are removed"
            if found.leftovers
            else "nothing to remove"
        )
        sweep(found, records)
        return
    question = f"Remove {len(found.runs)} runs ({size_text(found.size)})?"
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)
    sweep(found, records)
    note(f"removed {len(found.runs)} runs")


@app.command("table")
def show_table(
    recipe: RecipeName,
    store: StoreName = DEFAULT_STORE,
    per_language: Annotated[bool, typer.Option("--per-language", help="A column for each language.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for each cell.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how much each intermediate task changes each target, in points over the baseline.

    A cell is the mean over seeds of the mean over all languages but English, with the smallest and the
    largest seed in brackets; the baseline's own row is its score. A star marks cells that lack languages
    yet, and an exclamation mark scores over items that were trained on too (allow_leak in the recipe).

    Example: adapterstilts grid table quick --per-language
    """
    from adapterstilts.cli.grid_table import show
    from adapterstilts.grid.shared import records_of

    show(
        read_plan(recipe),
        records_of(store),
        per_language,
        "markdown" if markdown else "csv" if csv else "json" if as_json else "",
    )
