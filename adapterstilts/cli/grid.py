"""The verb `grid`: plans and runs all transfers of a grid config, and shows their table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from adapterstilts.cli import console, grid_output
from adapterstilts.cli.console import AsJson, busy, echo, fail, note, print_json, size_text, table
from adapterstilts.errors import ConfigError

if TYPE_CHECKING:
    from adapterstilts.grid.job_spec import JobSpec
    from adapterstilts.grid.scheduler import Executor
    from adapterstilts.grid.status import GridStatus

app = typer.Typer(no_args_is_help=True)
# Against typos: each process loads the backbone
MAX_PROCESSES = 10_000
DEFAULT_STORE = str(console.DEFAULT_STORE)
# Panels of the help. Each has its own column widths, so that no option name is cut off at 80 columns.
estimate_option = partial(typer.Option, rich_help_panel="Time estimate")
execution_option = partial(typer.Option, rich_help_panel="Execution", show_default=False)
ray_option = partial(typer.Option, rich_help_panel="Ray (--engine ray)", show_default=False)

GridName = Annotated[
    str,
    typer.Argument(
        metavar="GRID", help="Bundled grid (quick, xtreme-folder ...) or YAML file.", show_default=False
    ),
]
StoreName = Annotated[
    str,
    typer.Option(
        "--store", "-C", envvar="ADAPTERSTILTS_STORE", help="Folder of results, or a URL (s3://bucket/grid)."
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(help="Stop after the jobs that fit into this time per process: 8h, 30m, 2d."),
]
Calibrate = Annotated[
    bool | None,
    estimate_option(
        "--calibrate/--no-calibrate",
        help="Time real steps (default: a few, if no rates are known).",
        show_default=False,
    ),
]


@app.callback()
def grid() -> None:
    """Plan and run a grid of transfers, and show its table.

    Example: adapterstilts grid plan quick
    """


@app.command("plan")
def plan(
    grid: GridName,
    store: StoreName = DEFAULT_STORE,
    budget: Budget = None,
    calibrate: Calibrate = None,
    processes: Annotated[
        int, estimate_option(min=1, max=MAX_PROCESSES, help="Processes (or GPUs) that share the work.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print each job as a line of JSON.")] = False,
) -> None:
    """Show the jobs of a grid, which of them are done, and the cost of the others.

    Example: adapterstilts grid plan quick --budget 1h
    """
    from adapterstilts.grid.availability import DataSearch
    from adapterstilts.grid.load_plan import load_plan
    from adapterstilts.grid.status import read_status

    search = DataSearch()
    planned, records = load_plan(grid, search), grid_output.open_store(store, may_be_new=True)
    # Quick: with very many results the index suffices for an overview
    with busy("reading the store"):
        grid_status = read_status(planned.jobs(), records, quick=True)
    # Programs that read the JSON do not expect to wait for a calibration
    timed = False if as_json and calibrate is None else calibrate
    pending = grid_status.pending(planned.jobs())
    estimator = grid_output.make_estimator(planned, records, pending, timed, search)

    # A generator that starts anew each time: a large grid has millions of jobs
    def jobs_within_budget() -> Iterable[JobSpec]:
        if budget is None:
            return planned.jobs()
        return estimator.within(planned.jobs(), grid_status, processes * grid_output.parse_duration(budget))

    if not grid_status.count("done"):
        grid_output.print_foreign_runs(records)
    if as_json:
        for job in jobs_within_budget():
            print_json(grid_output.job_json(job, grid_status))
        return
    fitting = grid_status if budget is None else read_status(jobs_within_budget(), records, quick=True)
    grid_output.print_counts(fitting)
    grid_output.print_provenance(planned.jobs(), grid_status)
    if grid_status.count("done") < grid_status.job_count:
        grid_output.print_missing_data(planned, search)
    estimate = estimator.total(grid_status.pending(jobs_within_budget()))
    grid_output.print_estimate(estimate, processes, grid_status)
    if budget is not None:
        note(f"{fitting.job_count} of {grid_status.job_count} jobs fit into {budget}")
    for name, reason in planned.skipped.items():
        note(f"skipped {name}: {reason}")
    for name in planned.duplicates:
        note(f"skipped {name}: the target's baseline adapter equals another adapter of the set")


@app.command("run")
def run(
    grid: GridName,
    store: StoreName = DEFAULT_STORE,
    budget: Budget = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry failed jobs.")] = False,
    recheck: Annotated[
        bool,
        typer.Option("--recheck", help="Re-read all data and recompute only what changed."),
    ] = False,
    calibrate: Calibrate = None,
    processes: Annotated[
        int | None,
        execution_option(min=1, max=MAX_PROCESSES, help="Parallel processes (default: one per GPU or core)."),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        execution_option(help="Execution backend: local processes or Ray.", show_default=True),
    ] = "local",
    checkpoint_minutes: Annotated[
        float, execution_option(min=0, help="Minutes between checkpoints.", show_default=True)
    ] = 5.0,
    checkpoint_steps: Annotated[
        int | None, execution_option(min=1, help="Optimizer steps between checkpoints.")
    ] = None,
    ray_address: Annotated[
        str,
        ray_option(
            envvar="RAY_ADDRESS",
            help="Address of the cluster; auto: a running one; local: a new one (default).",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        ray_option(min=1, max=MAX_PROCESSES, help="Number of workers (default: as many as fit)."),
    ] = None,
    gpus_per_worker: Annotated[
        float | None, ray_option(min=0, help="GPUs of each worker; 0.5: two share one.")
    ] = None,
) -> None:
    """Compute the missing results of a grid. Interrupt it at any time; repeat the command to resume.

    Example: adapterstilts grid run quick
    """
    from adapterstilts.cli.grid_progress import ProgressDisplay
    from adapterstilts.grid.availability import DataSearch
    from adapterstilts.grid.load_plan import load_plan
    from adapterstilts.grid.process_executor import WorkerSettings
    from adapterstilts.grid.scheduler import Scheduler, executor_for
    from adapterstilts.grid.status import read_status

    _check_run_options(engine, store, recheck, processes, workers, gpus_per_worker)
    search = DataSearch()
    planned, records = load_plan(grid, search), grid_output.open_store(store, may_be_new=True)
    jobs = list(planned.jobs())
    # Not quick: damaged results must be found here to be recomputed
    status_before = read_status(jobs, records)
    warning = grid_output.print_provenance(jobs, status_before)
    if not (recheck or retry_failed or any(status_before.pending(jobs))):
        return _print_result(grid, status_before)
    grid_output.print_missing_data(planned, search)
    if not status_before.count("done"):
        grid_output.print_foreign_runs(records)
    # With Ray, other machines compute, whose speed cannot be measured here
    timed = False if engine == "ray" and calibrate is None else calibrate
    estimator = grid_output.make_estimator(planned, records, status_before.pending(jobs), timed, search)

    # The display is created after the executor, since it shows the number of workers
    def on_message(digest: str, message: str) -> None:
        display.on_message(digest, message)

    settings = WorkerSettings(store, checkpoint_minutes, checkpoint_steps)
    executor: Executor
    if engine == "ray":
        # Ray is an optional dependency
        from adapterstilts.grid.ray_executor import RayCluster, RayExecutor

        cluster = RayCluster(ray_address, workers, gpus_per_worker)
        executor = RayExecutor(settings, cluster, on_message)
    else:
        executor = executor_for(settings, processes, on_message)
    # The budget is per worker, and only the executor knows their number
    if budget is not None:
        seconds = executor.size * grid_output.parse_duration(budget)
        jobs = list(estimator.within(jobs, status_before, seconds, retry_failed))
        note(f"{len(jobs)} of {status_before.job_count} jobs fit into {budget}")
    with ProgressDisplay(jobs, records, estimator, executor.size) as display:
        scheduler = Scheduler(executor, records, display)
        status_after = scheduler.run(jobs, retry_failed, recheck)
    grid_output.print_time(scheduler.finished, jobs, estimator)
    # Results of this run may be the first ones with another precision
    if not warning:
        grid_output.print_provenance(jobs, status_after)
    return _print_result(grid, status_after)


def _check_run_options(
    engine: str,
    store: str,
    recheck: bool,
    processes: int | None,
    workers: int | None,
    gpus_per_worker: float | None,
) -> None:
    """Checks that the options can be combined.

    Raises:
        ConfigError: They cannot.
    """
    from adapterstilts.grid.remote_records import is_url

    # Set by accelerate launch: each of its processes would run the whole grid
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("a grid starts its own processes: use `grid run` without `accelerate launch`")
    if recheck and is_url(store):
        raise ConfigError("--recheck requires a folder that all workers can access, not a URL")
    if engine == "ray" and processes:
        raise ConfigError("--processes applies to local processes: with Ray, use --workers")
    if engine == "local" and (workers or gpus_per_worker is not None):
        raise ConfigError("--workers and --gpus-per-worker require --engine ray; otherwise use --processes")


def _print_result(grid: str, grid_status: GridStatus) -> None:
    """Prints the status of a grid after its run.

    Raises:
        Exit: Some jobs have no result (exit code 1).
    """
    grid_output.print_counts(grid_status)
    open_count = grid_status.job_count - grid_status.count("done")
    failed_count = grid_status.count("failed")
    if not open_count:
        note(f"next: adapterstilts grid table {grid}")
        return
    advice = "repeat the command to resume"
    if failed_count:
        advice = f"see adapterstilts grid status {grid}, and retry with --retry-failed"
    fail(f"{open_count} of {grid_status.job_count} jobs have no result, {failed_count} failed: {advice}")
    raise typer.Exit(1)


@app.command("status")
def status(grid: GridName, store: StoreName = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show the progress of a grid, its running jobs and its failures.

    Example: adapterstilts grid status quick
    """
    from adapterstilts.cli.grid_progress import duration
    from adapterstilts.grid.estimate import Estimator
    from adapterstilts.grid.load_plan import load_plan
    from adapterstilts.grid.status import read_status

    planned, records = load_plan(grid), grid_output.open_store(store)
    with busy("reading the store"):
        grid_status = read_status(planned.jobs(), records, quick=True)
        remaining = Estimator.from_records(records).total(grid_status.pending(planned.jobs()))
    if not grid_status.count("done"):
        grid_output.print_foreign_runs(records)
    if as_json:
        print_json(grid_output.status_json(grid_status, remaining))
        return
    grid_output.print_counts(grid_status)
    grid_output.print_provenance(planned.jobs(), grid_status)
    for job in grid_status.running:
        # The clocks of two machines may differ, so an age can be negative
        age = duration(max(0.0, time.time() - job.since))
        note(f"running: {job.name} (process {job.process}, {age})")
    for failure in grid_status.failures.values():
        note(f"failed: {failure.name}: {failure.message}\n  {records.failure_file(failure.digest)}")
    if failed_count := grid_status.count("failed"):
        note(f"{failed_count} jobs failed. Retry with: adapterstilts grid run {grid} --retry-failed")
    grid_output.print_estimate(remaining, 1, grid_status)


@app.command("verify")
def verify(grid: GridName, store: StoreName = DEFAULT_STORE) -> None:
    """Check every byte of a grid's results. `grid run` then recomputes damaged ones.

    Example: adapterstilts grid verify quick
    """
    from adapterstilts.grid.load_plan import load_plan
    from adapterstilts.grid.maintenance import verify as verify_jobs

    records = grid_output.open_store(store)
    result = verify_jobs(load_plan(grid).jobs(), records)
    if not result.intact:
        grid_output.print_foreign_runs(records)
    for name, reason in result.damaged.items():
        echo(f"damaged: {name}: {reason}")
    for name in result.missing:
        echo(f"missing: {name}")
    echo(f"{result.intact} runs are intact")
    if result.unrecorded:
        note(f"{result.unrecorded} jobs of {grid} have no result yet")
    if result.mark_error:
        note(
            f"damaged runs could not be marked ({result.mark_error}), so `grid run` may still use them. "
            "Repeat this command where the store is writable, or remove the runs (adapterstilts runs rm)"
        )
    # Exit code 1, so that scripts notice damage
    if result.damaged or result.missing:
        note(f"recompute them with: adapterstilts grid run {grid}")
        raise typer.Exit(1)


@app.command("gc")
def gc(
    grids: Annotated[
        list[str],
        typer.Argument(metavar="GRID...", help="All grids whose results to keep.", show_default=False),
    ],
    store: StoreName = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove grid results that none of these grids needs. Runs of other verbs are kept.

    Example: adapterstilts grid gc quick my-grid.yaml
    """
    from adapterstilts.grid.load_plan import possible_jobs
    from adapterstilts.grid.maintenance import Garbage
    from adapterstilts.grid.remote_records import is_url

    if is_url(store):
        raise ConfigError("grid gc requires a folder, not a URL")
    records = grid_output.open_store(store)
    garbage = Garbage.find((job for grid in grids for job in possible_jobs(grid)), records)
    table(("run", "size"), [(name, size_text(size)) for name, size in garbage.runs.items()], right=("size",))
    if garbage.other_runs:
        note(f"kept {garbage.other_runs} runs that no grid computed")
    if garbage.foreign:
        note(f"kept {garbage.foreign} runs of another version of adapterstilts")
    if not garbage.runs:
        # Temporary files and records of missing runs can go without a question
        Garbage.remove(garbage, records)
        leftovers = f"removed {len(garbage.leftovers)} leftover files of interrupted jobs"
        note(leftovers if garbage.leftovers else "nothing to remove")
        return
    question = f"Remove {len(garbage.runs)} runs ({size_text(garbage.size)})?"
    # On standard error: standard output holds the table, which may be redirected
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)
    Garbage.remove(garbage, records)
    note(f"removed {len(garbage.runs)} runs")


@app.command("table")
def _show_table(
    grid: GridName,
    store: StoreName = DEFAULT_STORE,
    per_language: Annotated[
        bool, typer.Option("--per-language", help="Print a column for each language.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one line per cell.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the effect of each intermediate task on each target, in points over the baseline.

    A cell is the mean over seeds of the mean over all languages except English,
    with the lowest and the highest seed in brackets. The baseline's row shows
    its scores.

    Marks: * some languages or seeds are missing, ! some evaluated items were
    trained on (allow_leak), ~ several precisions, ^ pulled adapters.

    Example: adapterstilts grid table quick --per-language
    """
    from adapterstilts.grid.load_plan import load_plan

    options = {"markdown": markdown, "csv": csv, "json": as_json}
    forms = [name for name, is_set in options.items() if is_set]
    if len(forms) > 1:
        raise ConfigError("use only one of --markdown, --csv and --json")
    grid_output.print_gains(load_plan(grid), grid_output.open_store(store), per_language, "".join(forms))
