"""The verb `grid`: every intermediate task by every target by every language, from one recipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from adapterstilts.cli import console
from adapterstilts.cli.console import AsJson, busy, echo, fail, note, print_json, size_text, table
from adapterstilts.cli.grid_print import (
    as_dict,
    print_counts,
    print_estimate,
    print_missing,
    print_provenance,
    print_time,
)
from adapterstilts.errors import ConfigError
from adapterstilts.grid.load_plan import (
    calibrated,
    estimator_of,
    ever_needed,
    note_foreign,
    read_plan,
    records_at,
    seconds_of,
)

if TYPE_CHECKING:
    from adapterstilts.grid.job_spec import JobSpec
    from adapterstilts.grid.process_executor import WorkerSettings
    from adapterstilts.grid.scheduler import Executor
    from adapterstilts.grid.status import GridStatus

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
MOST = 10_000  # processes or workers
DEFAULT_STORE = str(console.DEFAULT_STORE)
Budget = Annotated[
    str | None,
    typer.Option(help="Only what fits into 8h, 30m or 2d (of every process), the most informative first."),
]

Calibrate = Annotated[
    bool | None,
    typer.Option(
        "--calibrate/--no-calibrate",
        help="Time real steps for the estimate and keep the rates (default: a few, if no rates are known).",
        show_default=False,
    ),
]


@app.callback()
def grid() -> None:
    """Plan and run a whole grid of transfers, and see its table.

    Example: adapterstilts grid plan quick
    """


@app.command("plan")
def plan(
    grid_config: RecipeName,
    store: StoreName = DEFAULT_STORE,
    budget: Budget = None,
    calibrate: Calibrate = None,
    processes: Annotated[
        int, typer.Option(min=1, max=MOST, help="Processes (or GPUs) that will share the work.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print each job as a line of JSON.")] = False,
) -> None:
    """Show what a grid consists of, what is there already, and what the rest will take.

    Example: adapterstilts grid plan quick --budget 1h
    """
    from adapterstilts.grid.status import read_status

    planned, records = read_plan(grid_config), records_at(store, made=True)
    with busy("looking at the store"):
        state = read_status(planned.jobs(), records, quick=True)
    timed = False if as_json and calibrate is None else calibrate  # a program that reads JSON does not wait
    estimator = calibrated(planned, records, state.pending(planned.jobs()), timed)

    def chosen() -> Iterable[JobSpec]:
        found = planned.jobs()
        return estimator.within(found, state, processes * seconds_of(budget)) if budget is not None else found

    if not state.count("done"):
        note_foreign(records)
    if as_json:
        for job in chosen():
            print_json(as_dict(job, state))
        return
    fitting = read_status(chosen(), records, quick=True) if budget is not None else state
    print_counts(fitting)
    print_provenance(planned.jobs(), state)
    if state.count("done") < state.job_count:
        print_missing(planned)
    print_estimate(estimator.total(state.pending(chosen())), processes, state)
    if budget is not None:
        note(f"{fitting.job_count} of {state.job_count} jobs fit into {budget}")
    for name, why in planned.left_out.items():
        note(f"left out: {name}: {why}")
    for name in planned.doubled:
        note(f"left out: {name}, since the target's own adapter is one of the others")


@app.command("run")
def run(
    grid_config: RecipeName,
    store: StoreName = DEFAULT_STORE,
    budget: Budget = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed.")] = False,
    recheck: Annotated[
        bool,
        typer.Option("--recheck", help="Read all data again, to see whether it changed; results stay."),
    ] = False,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")] = 5.0,
    checkpoint_steps: Annotated[
        int | None, typer.Option(min=1, help="Optimizer steps between checkpoints.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Processes at once; one for each GPU, else for each core.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Who works: processes here, or a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(envvar="RAY_ADDRESS", help="Ray: a cluster; auto: the one here; local: start one.")
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Ray: workers (default: as many as fit).", show_default=False),
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(min=0, help="Ray: 0.5 lets two share a GPU.", show_default=False)
    ] = None,
    calibrate: Calibrate = None,
) -> None:
    """Make what a grid still lacks; stop it at any time and give the same command again to go on.

    Example: adapterstilts grid run quick
    """
    from adapterstilts.cli.grid_progress import ProgressDisplay
    from adapterstilts.grid.process_executor import WorkerSettings
    from adapterstilts.grid.scheduler import Scheduler
    from adapterstilts.grid.status import read_status

    _check_run(engine, store, recheck, processes, workers, gpus_per_worker)
    planned, records = read_plan(grid_config), records_at(store, made=True)
    jobs = list(planned.jobs())
    before = read_status(jobs, records)
    said_before = print_provenance(jobs, before)
    if not (recheck or retry_failed or any(before.pending(jobs))):
        return _end(grid_config, before)
    print_missing(planned)
    if not before.count("done"):
        note_foreign(records)
    choice = False if engine == "ray" and calibrate is None else calibrate  # other machines may compute
    estimator = calibrated(planned, records, before.pending(jobs), choice)
    saving = WorkerSettings(store, checkpoint_minutes, checkpoint_steps)
    nodes = (ray_address, workers, gpus_per_worker) if engine == "ray" else None

    def said(digest: str, line: str) -> None:
        shown.on_message(digest, line)

    executor = _executor(saving, processes, nodes, said)
    if budget is not None:
        time = executor.size * seconds_of(budget)
        jobs = list(estimator.within(jobs, before, time, retry_failed))
        note(f"{len(jobs)} of {before.job_count} jobs fit into {budget}")
    with ProgressDisplay(jobs, records, estimator, executor.size) as shown:
        work = Scheduler(executor, records, shown)
        after = work.run(jobs, retry_failed, recheck)
    print_time(work.finished, jobs, estimator)
    if not said_before:
        print_provenance(jobs, after)
    return _end(grid_config, after)


def _executor(
    saving: WorkerSettings,
    processes: int | None,
    nodes: tuple[str, int | None, float | None] | None,
    said: Callable[[str, str], None],
) -> Executor:
    """Who works: processes here, or on these nodes of a Ray cluster."""
    if nodes is None:
        from adapterstilts.grid.scheduler import executor_for

        return executor_for(saving, processes, said)
    from adapterstilts.grid.ray_executor import RayCluster, RayExecutor

    return RayExecutor(saving, RayCluster(*nodes), said)


def _check_run(
    engine: str,
    store: str,
    recheck: bool,
    processes: int | None,
    workers: int | None,
    gpus_per_worker: float | None,
) -> None:
    """Refuses what has no meaning together."""
    from adapterstilts.grid.remote_records import is_url

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("a grid starts its own processes: give `grid run` without `accelerate launch`")
    if recheck and is_url(store):
        raise ConfigError("--recheck wants a folder that all workers see, not a URL")
    if engine == "ray" and processes:
        raise ConfigError("--processes is for the local engine: with Ray it is --workers")
    if engine == "local" and (workers or gpus_per_worker is not None):
        raise ConfigError("--workers and --gpus-per-worker are for --engine ray; here it is --processes")


def _end(grid_config: str, after: GridStatus) -> None:
    """Says where a grid stands after its run.

    Raises:
        Exit: with code 1, where jobs have no result.
    """
    print_counts(after)
    left, failed = after.job_count - after.count("done"), after.count("failed")
    if not left:
        note(f"next: adapterstilts grid table {grid_config}")
        return
    why = (
        f"grid status {grid_config} says why, --retry-failed tries again"
        if failed
        else "give the command again"
    )
    fail(f"{left} of {after.job_count} jobs have no result, {failed} failed: {why}")
    raise typer.Exit(1)


@app.command("status")
def status(grid_config: RecipeName, store: StoreName = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show where a grid stands, while it runs and after.

    Example: adapterstilts grid status quick
    """
    import time
    from collections import Counter

    from adapterstilts.cli.grid_progress import duration
    from adapterstilts.grid.status import STATES, read_status

    planned, records = read_plan(grid_config), records_at(store)
    with busy("looking at the store"):
        state = read_status(planned.jobs(), records, quick=True)
        total = estimator_of(records).total(state.pending(planned.jobs()))
    if not state.count("done"):
        note_foreign(records)
    if as_json:
        print_json(
            {
                "counts": [
                    {"type": kind, "state": where, "jobs": n} for (kind, where), n in state.counts.items()
                ],
                "totals": {name: state.count(name) for name in STATES},
                "precisions": Counter(state.precisions.values()),
                "pulled": {state.runs[digest]: source for digest, source in state.pulled.items()},
                "running": [vars(each) for each in state.running],
                "failures": [vars(each) for each in state.failures.values()],
                "seconds_left": round(total.seconds, 1),
                "seconds_left_range": [round(total.low, 1), round(total.high, 1)],
                "files_looked_at": not state.quick,
            }
        )
        return
    print_counts(state)
    print_provenance(planned.jobs(), state)
    for each in state.running:
        note(f"running: {each.name} (process {each.process}, {duration(max(0.0, time.time() - each.since))})")
    for failure in state.failures.values():
        note(f"failed: {failure.name}: {failure.message}\n  {records.failure_file(failure.digest)}")
    if failed := state.count("failed"):
        note(f"{failed} jobs failed: adapterstilts grid run {grid_config} --retry-failed tries again")
    print_estimate(total, 1, state)


@app.command("verify")
def verify(grid_config: RecipeName, store: StoreName = DEFAULT_STORE) -> None:
    """Check every byte of a grid's results; `grid run` makes again what is damaged.

    Example: adapterstilts grid verify quick
    """
    from adapterstilts.grid.maintenance import verify as check_all

    records = records_at(store)
    found = check_all(read_plan(grid_config).jobs(), records)
    if not found.intact:
        note_foreign(records)
    for name, reason in found.damaged.items():
        echo(f"damaged: {name}: {reason}")
    for name in found.missing:
        echo(f"gone: {name}")
    echo(f"{found.intact} runs are whole")
    if found.unrecorded:
        note(f"{found.unrecorded} jobs of {grid_config} have no result yet")
    if found.mark_error:
        note(
            f"damaged runs could not be marked ({found.mark_error}), so `grid run` may still use them. "
            "Repeat this command where the store is writable, or remove the runs (adapterstilts runs rm)"
        )
    if found.damaged or found.missing:
        note(f"adapterstilts grid run {grid_config} makes them again")
        raise typer.Exit(1)


@app.command("gc")
def gc(
    grid_configs: Annotated[
        list[str], typer.Argument(help="All recipes whose results stay.", show_default=False)
    ],
    store: StoreName = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove results of grids that none of the given recipes needs; what was made by hand stays.

    Example: adapterstilts grid gc quick my-grid.yaml
    """
    from adapterstilts.grid.maintenance import find_garbage, remove_garbage
    from adapterstilts.grid.remote_records import is_url

    if is_url(store):
        raise ConfigError("gc wants a folder, not a URL")
    records = records_at(store)
    found = find_garbage((each for name in grid_configs for each in ever_needed(name)), records)
    table(("run", "size"), [(name, size_text(size)) for name, size in found.runs.items()], right=("size",))
    if found.kept:
        note(f"{found.kept} runs that no grid asked for stay")
    if found.foreign:
        note(f"{found.foreign} runs of another version of adapterstilts stay")
    if not found.runs:
        note(
            f"{len(found.leftovers)} leftovers of kills are removed"
            if found.leftovers
            else "nothing to remove"
        )
        remove_garbage(found, records)
        return
    question = f"Remove {len(found.runs)} runs ({size_text(found.size)})?"
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)
    remove_garbage(found, records)
    note(f"removed {len(found.runs)} runs")


@app.command("table")
def show_table(
    grid_config: RecipeName,
    store: StoreName = DEFAULT_STORE,
    per_language: Annotated[bool, typer.Option("--per-language", help="A column for each language.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for each cell.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how much each intermediate task changes each target, in points over the baseline.

    A cell is the mean over seeds of the mean over all languages but English, with the smallest and the
    largest seed in brackets; the baseline's own row is its score. A star marks cells that lack languages
    or seeds yet, and an exclamation mark scores over items that were trained on too (allow_leak in the
    recipe). A tilde marks results of several precisions, and a caret pulled adapters.

    Example: adapterstilts grid table quick --per-language
    """
    from adapterstilts.cli.grid_table import show

    forms = [name for name, given in (("markdown", markdown), ("csv", csv), ("json", as_json)) if given]
    if len(forms) > 1:
        raise ConfigError("one of --markdown, --csv and --json")
    show(read_plan(grid_config), records_at(store), per_language, "".join(forms))
