"""The verb `demo`: transfers on bundled data in a few minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.cli.console import echo, fail, note, print_json, table
from adapterstilts.errors import StoreError

if TYPE_CHECKING:
    from adapterstilts.grid.plan import Plan
    from adapterstilts.report.gains import Gain


@dataclass(frozen=True)
class _DemoRow:
    """One row of the demo's table: a transfer to a target, or the target's baseline.

    Attributes:
        target: Name of the target task.
        transfer: Composition and intermediate task. "" for the baseline.
        english: Score in English, in percent.
        other_languages: Mean score of the other languages, in percent.
        gain: Difference of `other_languages` from the baseline, in points.
        languages_better: Number of other languages in which the transfer beats the baseline.
        languages: Number of other languages.
    """

    target: str
    transfer: str
    english: float
    other_languages: float
    gain: float
    languages_better: int
    languages: int


def demo(
    store: Annotated[
        Path, typer.Option("--store", "-C", help="Folder of results.", envvar="ADAPTERSTILTS_STORE")
    ] = Path("checkpoints"),
    backbone: Annotated[str, typer.Option(help="Name, Hub id or folder.")] = "me5-small",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Train two intermediate adapters on bundled data and transfer each to two targets.

    All results are zero-shot scores in ten languages. Takes about four minutes
    on two cores. The grid config is grids/demo.yaml.

    Example: adapterstilts demo
    """
    from adapterstilts.grid.availability import DataSearch, build_plan
    from adapterstilts.grid.config import Backbone, load_config

    changes = {"backbones": (Backbone(name=backbone),), "seeds": (seed,)}
    plan = build_plan(load_config("demo").model_copy(update=changes), DataSearch())
    count = sum(not job.language for job in plan.jobs())
    note(f"Training {count} small adapters on the bundled data (about four minutes on two cores).")
    _run(plan, store)
    rows = _demo_rows(plan, store)
    if as_json:
        print_json([vars(row) for row in rows])
        return
    columns = ("target", "intermediate task", "English", "other languages", "gain", "languages better")
    table(columns, map(_cells, rows), right=columns[2:], title="Zero-shot transfer, score in percent")
    for line in summary(rows):
        echo(line)


def _run(plan: Plan, store: Path) -> None:
    """Computes the missing results.

    Raises:
        Exit: A job failed (exit code 1).
    """
    from adapterstilts.cli.grid_progress import ProgressDisplay
    from adapterstilts.grid.estimate import Estimator
    from adapterstilts.grid.process_executor import WorkerSettings
    from adapterstilts.grid.records import Records
    from adapterstilts.grid.scheduler import Scheduler, executor_for

    records, jobs = Records(store), list(plan.jobs())

    # The display is created after the executor, since it shows the number of workers
    def on_message(digest: str, message: str) -> None:
        display.on_message(digest, message)

    executor = executor_for(WorkerSettings(store), None, on_message)
    # Failures are retried: what failed in an earlier demo, such as a full disk, may be repaired
    with ProgressDisplay(jobs, records, Estimator.from_records(records), executor.size) as display:
        status = Scheduler(executor, records, display).run(jobs, retry_failed=True)
    # The first failure is shown; others are usually its consequences
    for failure in status.failures.values():
        fail(f"{failure.name}: {failure.message} ({records.failure_file(failure.digest)})")
        raise typer.Exit(1)


def _demo_rows(plan: Plan, store: Path) -> list[_DemoRow]:
    """Returns the rows of the table, in the plan's order.

    Raises:
        StoreError: A result is damaged.
    """
    from adapterstilts.grid.records import Records
    from adapterstilts.report.gains import Gain, gains

    def on_damage(text: str) -> None:
        raise StoreError(f"{text}: remove {store} and repeat the command")

    records = Records(store)
    means = gains(plan, records, on_damage)
    by_language = Gain.by_language(plan, records, on_damage)
    # Scores of the baselines, and differences from them for the transfers; in the order of `means`
    scores = {code: [gain.mean or 0.0 for gain in column] for code, column in by_language.items()}
    return [_row(means, index, scores) for index in range(len(means))]


def _row(means: list[Gain], index: int, scores: dict[str, list[float]]) -> _DemoRow:
    from adapterstilts.grid.plan import BASELINE

    gain = means[index]
    baseline = next(
        n for n, row in enumerate(means) if row.target == gain.target and row.transfer == BASELINE
    )
    score, codes = means[baseline].mean or 0.0, sorted(scores.keys() - {"en"})
    # The baseline's gains are scores, all others are differences from them
    if index == baseline:
        return _DemoRow(gain.target, "", scores["en"][index], score, 0.0, 0, len(codes))
    return _DemoRow(
        target=gain.target,
        transfer=f"{gain.transfer} from {gain.intermediate}",
        english=scores["en"][baseline] + scores["en"][index],
        other_languages=score + (gain.mean or 0.0),
        gain=gain.mean or 0.0,
        languages_better=sum(scores[code][index] > 0 for code in codes),
        languages=len(codes),
    )


def _cells(row: _DemoRow) -> tuple[str, ...]:
    gain = f"{row.gain:+.1f}" if row.transfer else ""
    better = f"{row.languages_better} of {row.languages}" if row.transfer else ""
    transfer = row.transfer or "none (baseline)"
    return row.target, transfer, f"{row.english:.1f}", f"{row.other_languages:.1f}", gain, better


def summary(rows: list[_DemoRow]) -> tuple[str, str]:
    """Returns two lines: the best transfer and the worst one."""
    transfers = [row for row in rows if row.transfer]
    best = max(transfers, key=lambda row: row.gain)
    worst = min(transfers, key=lambda row: row.gain)
    better_count = sum(row.gain > 0 for row in transfers)
    best_line = (
        f"{better_count} of {len(transfers)} transfers improve languages without labelled data. Best: "
        f"{best.target}, {best.transfer}, {best.gain:+.1f} points over {best.languages} languages."
    )
    worst_line = (
        f"Worst: {worst.target}, {worst.transfer}, {worst.gain:+.1f} points. This is one seed on small data: "
        "it shows that transfer works, not which task is best."
    )
    return best_line, worst_line
