"""Shared parts of the grid verbs: opening a store, estimates, and everything that they print."""

from __future__ import annotations

import csv
import html
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from adapterstilts.cli.console import note, print_json, size_text, table
from adapterstilts.errors import ConfigError, StoreError
from adapterstilts.terminal_text import csv_cell, visible

if TYPE_CHECKING:
    from adapterstilts.grid.availability import DataSearch
    from adapterstilts.grid.estimate import Estimate, Estimator
    from adapterstilts.grid.job_spec import JobSpec, JobType
    from adapterstilts.grid.plan import Plan
    from adapterstilts.grid.records import Record, Records
    from adapterstilts.grid.status import GridStatus
    from adapterstilts.report.gains import Gain

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_NAMES = 4  # names in one message; more are only counted
RUNS_TO_CHECK = 100  # runs whose version is read for the note about other versions
# Estimated seconds of work below which an automatic calibration would take longer than it is worth
MIN_SECONDS_TO_CALIBRATE = 120.0
TYPE_LABELS: tuple[tuple[JobType, str], ...] = (
    ("train", "train an adapter"), ("compose", "compose for a target"), ("evaluate", "evaluate a language"),
)  # fmt: skip


def open_store(store: str, may_be_new: bool = False) -> Records:
    """Returns the records of a store.

    Args:
        store: Folder or URL.
        may_be_new: Whether the folder may be created. Otherwise a missing folder is noted, since its name was
            most likely mistyped.

    Raises:
        ConfigError: The store is a file, or memory that is lost when the command ends.
    """
    from adapterstilts.grid.remote_records import is_url, open_records

    if store.startswith("memory://"):
        raise ConfigError(
            f"{store} is lost when this command ends: pass a folder or a bucket (s3://, gs://) to --store"
        )
    if not is_url(store):
        if Path(store).exists() and not Path(store).is_dir():
            raise ConfigError(f"the store {store} is a file: pass a folder to --store")
        if not may_be_new and not Path(store).exists():
            note(f"store {store} not found (pass another one to --store)")
    return open_records(store)


def print_foreign_runs(records: Records) -> None:
    """Prints a note if the runs of a store are of another version of adapterstilts.

    Called if no job of a grid is done: the user may have expected that the store's results count.
    """
    from adapterstilts.store import Damaged, Store

    runs = islice(Store(records.store).scan(quick=True), RUNS_TO_CHECK)
    reasons = [run.reason for run in runs if isinstance(run, Damaged) and run.foreign]
    if reasons:
        note(f"results in {records.store} are not used: {reasons[0]} (`runs` lists them)")


def make_estimator(
    plan: Plan, records: Records, pending: Iterable[JobSpec], calibrate: bool | None, search: DataSearch
) -> Estimator:
    """Returns an estimator, after a calibration if it is requested or necessary.

    Args:
        plan: Plan of the grid.
        records: Records of the store, which keeps the measured rates.
        pending: Jobs to estimate.
        calibrate: Whether to time real steps. None times a few if a backbone has no rates, its jobs take
            longer than `MIN_SECONDS_TO_CALIBRATE`, and no download is necessary.
        search: Search for data that made the plan.
    """
    from adapterstilts.grid.availability import pin_to_local_data
    from adapterstilts.grid.estimate import Estimator

    estimator = Estimator.from_records(records)
    if calibrate is False:
        return estimator
    if calibrate:
        # Imported late: the calibration loads torch
        from adapterstilts.grid.calibrate import calibrate as measure

        measure(plan, records, search, note)
        return Estimator.from_records(records)
    # A backbone without rates is timed only if its jobs take long enough to be worth it
    seconds = estimator.unknown_backbones(pending)
    backbones = [name for name, total in seconds.items() if total > MIN_SECONDS_TO_CALIBRATE]
    trainings = [job for job in plan.trainings.values() if job.settings.hyperparameters]
    if not any(pin_to_local_data(job, search) for job in trainings if job.settings.backbone in backbones):
        return estimator
    from adapterstilts.grid.calibrate import QUICK
    from adapterstilts.grid.calibrate import calibrate as measure

    note(
        "no rates for this machine yet: timing a few steps of each kind of task, usually in less than a "
        "minute (--no-calibrate skips this)"
    )
    try:
        measure(plan, records, search, note, QUICK, backbones)
    except (OSError, StoreError) as error:
        # Nobody requested this calibration, so its failure must not stop the verb
        note(f"the estimate stays rough: the measured rates cannot be stored ({error})")
    return Estimator.from_records(records)


def parse_duration(text: str) -> float:
    """Returns the seconds of a budget such as `8h`, `30m`, `2d` or `90s`.

    Raises:
        ConfigError: The text is no such time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if not match:
        raise ConfigError(f"--budget requires a time such as 8h, 30m or 2d, not '{text}'")
    return float(match[1]) * UNITS[match[2]]


def job_json(job: JobSpec, status: GridStatus) -> dict[str, object]:
    """Returns a job with its state as JSON values."""
    return {
        "digest": job.digest,
        "type": job.type,
        "task": job.task,
        "composition": None if job.language else job.composition,
        "needs": list(job.needs),
        "seed": job.seed,
        "language": job.language or None,
        "split": job.split or None,
        "state": status.state_of(job),
        "run": status.runs.get(job.digest),
        "precision": status.precisions.get(job.digest),
        "pulled": status.pulled.get(job.digest),
        "settings": job.settings.model_dump(mode="json", exclude_defaults=True),
    }


def status_json(status: GridStatus, remaining: Estimate) -> dict[str, object]:
    """Returns the status of a grid as JSON values."""
    from adapterstilts.grid.status import STATES

    return {
        "counts": [
            {"type": job_type, "state": state, "jobs": count}
            for (job_type, state), count in status.counts.items()
        ],
        "totals": {state: status.count(state) for state in STATES},
        "precisions": Counter(status.precisions.values()),
        "pulled": {status.runs[digest]: repository for digest, repository in status.pulled.items()},
        "running": [vars(job) for job in status.running],
        "failures": [vars(failure) for failure in status.failures.values()],
        "seconds_left": round(remaining.seconds, 1),
        "seconds_left_range": [round(remaining.low, 1), round(remaining.high, 1)],
        "files_checked": not status.quick,
    }


def print_counts(status: GridStatus) -> None:
    """Prints the numbers of jobs by type and state."""
    from adapterstilts.grid.status import STATES

    rows = []
    for job_type, label in TYPE_LABELS:
        counts = [status.counts.get((job_type, state), 0) for state in STATES]
        rows.append([label, str(sum(counts)), *map(str, counts)])
    rows.append(["all", str(status.job_count), *(str(status.count(state)) for state in STATES)])
    table(("jobs", "all", *STATES), rows, right=("all", *STATES))
    if status.quick:
        note("the store has very many results: their files were not checked (`grid verify` checks them)")


def print_provenance(jobs: Iterable[JobSpec], status: GridStatus) -> str | None:
    """Prints which results were pulled, and a warning if the results differ in precision.

    Returns:
        The warning about precisions, so that a caller prints it only once.
    """
    from adapterstilts.grid.provenance import disagreement

    # Without results there is nothing to compare, and listing the jobs takes time
    if not status.runs:
        return None
    finished = [job for job in jobs if job.digest in status.runs]
    lines = _pulled_runs(finished, status)
    for line in lines[:MAX_NAMES]:
        note(line)
    if len(lines) > MAX_NAMES:
        note(f"{len(lines) - MAX_NAMES} more trainings were pulled (`grid plan --json` lists them)")
    # The function and not its value: it imports torch, which is rarely necessary
    if warning := disagreement(finished, status, _auto_precision):
        note(warning)
    return warning


def _auto_precision() -> str:
    """Returns the precision that "auto" means on this machine."""
    from adapterstilts.run.device import resolve_precision

    return resolve_precision("auto")


def print_missing_data(plan: Plan, search: DataSearch) -> None:
    """Prints a warning for each kind of job that will fail because its data was not found."""
    from adapterstilts.grid.availability import find_missing_data

    tasks, missing = find_missing_data(plan, search)
    if tasks:
        note(
            f"no training data found for {', '.join(tasks)}: jobs that need it will fail "
            f"(adapterstilts tasks show {tasks[0]} lists the required files)"
        )
    if missing:
        targets = [
            f"{name} ({', '.join(codes) if len(codes) <= MAX_NAMES else f'{len(codes)} languages'})"
            for name, codes in missing.items()
        ]
        note(f"no evaluation data found for {', '.join(targets)}: jobs that need it will fail")


def print_time(finished: Iterable[Record], jobs: Iterable[JobSpec], estimator: Estimator) -> None:
    """Prints the time that the computed jobs took, and the error of their estimate."""
    from adapterstilts.cli.grid_progress import duration

    seconds = {record.digest: record.seconds for record in finished if record.seconds is not None}
    total = sum(seconds.values())
    # Every run existed already, from another grid or verb
    if not total:
        return
    estimate = estimator.total(job for job in jobs if job.digest in seconds).seconds
    note(
        f"{len(seconds)} jobs took {duration(total)} of computing time; the estimate was "
        f"{duration(estimate)} ({(estimate - total) / total:+.0%})"
    )


def print_estimate(estimate: Estimate, processes: int, status: GridStatus) -> None:
    """Prints the estimated time and disk space of the remaining jobs.

    Args:
        estimate: Estimate of the jobs, which may be only those within a budget.
        processes: Number of processes that share the work.
        status: Status of the whole grid.
    """
    from adapterstilts.cli.grid_progress import duration

    bases = ", ".join(f"{count} {basis}" for basis, count in estimate.by_basis.items() if count)
    if not bases:
        # Without estimated jobs the others may still have failed, or exceed the budget
        if status.count("done") == status.job_count:
            note("all jobs are done")
        return
    totals = (estimate.seconds, estimate.low, estimate.high)
    time, low, high = (duration(seconds / processes) for seconds in totals)
    time = f"{time} ({low} to {high}) with {processes} process{'es' * (processes > 1)}"
    note(f"remaining: about {time} and {size_text(round(estimate.bytes))} on disk ({bases})")
    if estimate.by_basis["rough"]:
        note("rough estimates are for a small encoder on two cores: `grid plan --calibrate` times real steps")


def print_gains(plan: Plan, records: Records, per_language: bool, form: str) -> None:
    """Prints the table of a grid, and notes on damaged results, which do not count.

    Args:
        plan: Plan of the grid.
        records: Records of the store.
        per_language: Whether to print a column for each language instead of each target.
        form: "markdown", "csv", "json", or "" for the terminal.
    """
    from adapterstilts.report.gains import MARKS, Gain, gains, table_by_language, table_by_target

    damaged: list[str] = []
    if per_language:
        columns = Gain.by_language(plan, records, damaged.append)
    else:
        columns = {"": gains(plan, records, damaged.append)}
    for text in damaged:
        note(f"{text} (`grid verify` marks it, and `grid run` recomputes it)")
    if form in ("csv", "json"):
        lines = [_gain_json(gain, code) for code, column in columns.items() for gain in column]
        _print_gains_csv(lines) if form == "csv" else print_json(lines)
        return
    head, *rows = table_by_language(columns) if per_language else table_by_target(columns[""])
    # Only columns with scores can hold marks; a task's name may contain any character
    score_column = head.index("intermediate") + 1
    if form == "markdown":
        _print_markdown(head, rows)
    else:
        table(head, rows, right=head[score_column:])
    all_gains = [gain for column in columns.values() for gain in column]
    pulled = ", ".join(dict.fromkeys(gain.pulled for gain in all_gains if gain.pulled))
    for mark, meaning in MARKS.items():
        if any(mark in cell for row in rows for cell in row[score_column:]):
            note(f"{mark} {meaning}{f' ({pulled})' if mark == '^' else ''}")
    # The mark alone does not show which results have which precision
    if any(gain.mixed for gain in all_gains):
        from adapterstilts.grid.status import read_status

        print_provenance(plan.jobs(), read_status(plan.jobs(), records, quick=True))


def _gain_json(gain: Gain, language: str) -> dict[str, object]:
    """Returns a gain with its numbers rounded."""
    values = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(gain).items()
    }
    return {**values, "language": language or "mean without en"}


def _print_gains_csv(lines: list[dict[str, object]]) -> None:
    from adapterstilts.report.gains import Gain

    # The header is printed even if there are no lines
    _print_csv([*(field.name for field in fields(Gain)), "language"], lines)


def _print_markdown(head: list[str], rows: list[list[str]]) -> None:
    head_line, *lines = (" | ".join(map(_markdown_cell, row)) for row in (head, *rows))
    print(f"| {head_line} |\n|{'---|' * len(head)}")
    for line in lines:
        print(f"| {line} |")


def _markdown_cell(text: str) -> str:
    """Returns a text for one table cell, with all markup escaped: names come from files of strangers."""
    line = " ".join(visible(text).split())
    return html.escape(line, quote=False).replace("\\", r"\\").replace("|", r"\|")


def _print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Prints CSV with a header."""
    # Texts that a spreadsheet would run as formulas are escaped; numbers stay numbers.
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writerow({name: csv_cell(name) for name in columns})
    for row in rows:
        writer.writerow({name: csv_cell(value) for name, value in row.items()})


def _pulled_runs(jobs: Iterable[JobSpec], status: GridStatus) -> list[str]:
    """Returns a line for each training whose run was pulled: its name, run and repository."""
    return [
        f"{job.name} was not trained here: {status.runs[job.digest]} was pulled from "
        f"{status.pulled[job.digest]}"
        for job in jobs
        if job.digest in status.pulled
    ]
