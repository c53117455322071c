"""The verb `demo`: the whole idea in a few minutes, on bundled data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.cli.console import echo, fail, note, print_json, table
from adapterstilts.errors import StoreError

if TYPE_CHECKING:
    from adapterstilts.grid.plan import Plan
    from adapterstilts.report.gains import Effect


@dataclass(frozen=True)
class Line:
    """One transfer to one target and what it gained, in points over the baseline.

    Attributes:
        how: composition and intermediate task, "" for the baseline.
        english, others: score in English and mean over the other languages, in percent.
        gain: `others` minus the baseline's.
        better: languages other than English in which it beats the baseline.
        languages: how many those are.
    """

    target: str
    how: str
    english: float
    others: float
    gain: float
    better: int
    languages: int


def demo(
    store: Annotated[
        Path, typer.Option("--store", "-C", help="Folder of results.", envvar="ADAPTERSTILTS_STORE")
    ] = Path("checkpoints"),
    backbone: Annotated[str, typer.Option(help="Name, Hub id or folder.")] = "me5-small",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Train two intermediate adapters on bundled data and transfer each to two targets.

    Everything is evaluated zero-shot in all bundled languages; it takes a few minutes on two cores. It is the
    grid of the recipe `demo`.

    Example: adapterstilts demo
    """
    from adapterstilts.grid.availability import plan_of
    from adapterstilts.grid.config import Backbone, load

    grid_config = load("demo").model_copy(update={"backbones": (Backbone(name=backbone),), "seeds": (seed,)})
    plan = plan_of(grid_config)
    trainings = sum(not job.language for job in plan.jobs())
    note(f"{trainings} short trainings on bundled data; about four minutes on two cores, once.")
    _make(plan, store)
    lines = lines_of(plan, store)
    if as_json:
        print_json([vars(line) for line in lines])
        return
    _print(lines)


def _make(plan: Plan, store: Path) -> None:
    from adapterstilts.cli.grid_progress import ProgressDisplay
    from adapterstilts.grid.load_plan import estimator_of
    from adapterstilts.grid.process_executor import WorkerSettings
    from adapterstilts.grid.records import Records
    from adapterstilts.grid.scheduler import Scheduler, executor_for

    records, jobs = Records(store), list(plan.jobs())

    def said(digest: str, line: str) -> None:
        shown.on_message(digest, line)

    executor = executor_for(WorkerSettings(store), None, said)
    with ProgressDisplay(jobs, records, estimator_of(records), executor.size) as shown:
        state = Scheduler(executor, records, shown).run(jobs, retry_failed=True)
    if state.failures:
        first = next(iter(state.failures.values()))
        fail(f"{first.name}: {first.message} ({records.failure_file(first.digest)})")
        raise typer.Exit(1)


def lines_of(plan: Plan, store: Path) -> list[Line]:
    """The lines of the table, in the plan's order.

    Raises:
        StoreError: a score is not as it was published.
    """
    from adapterstilts.grid.records import Records
    from adapterstilts.report.gains import effects, effects_by_language

    def damaged(text: str) -> None:
        raise StoreError(f"{text}: remove {store}, and give the command again")

    records = Records(store)
    each = effects_by_language(plan, records, damaged)
    scores = {code: [effect.mean or 0.0 for effect in found] for code, found in each.items()}
    found = effects(plan, records, damaged)
    return [_line(found, number, scores) for number in range(len(found))]


def _line(found: list[Effect], number: int, scores: dict[str, list[float]]) -> Line:
    """One line; all of `scores` but the baselines' are differences from these."""
    effect = found[number]
    base = next(n for n, each in enumerate(found) if each.target == effect.target and each.how == "baseline")
    before, gain, others = found[base].mean or 0.0, effect.mean or 0.0, sorted(scores.keys() - {"en"})
    if number == base:
        return Line(effect.target, "", scores["en"][number], before, 0.0, 0, len(others))
    english = scores["en"][base] + scores["en"][number]
    better = sum(scores[code][number] > 0 for code in others)
    how = f"{effect.how} from {effect.intermediate}"
    return Line(effect.target, how, english, before + gain, gain, better, len(others))


def _print(lines: list[Line]) -> None:
    columns = ("target", "intermediate task", "English", "other languages", "gain", "languages better")
    rows = []
    for line in lines:
        gain = f"{line.gain:+.1f}" if line.how else ""
        better = f"{line.better} of {line.languages}" if line.how else ""
        name = line.how or "none (baseline)"
        rows.append((line.target, name, f"{line.english:.1f}", f"{line.others:.1f}", gain, better))
    table(columns, rows, right=columns[2:], title="Zero-shot transfer, score in percent")
    for text in summary(lines):
        echo(text)


def summary(lines: list[Line]) -> tuple[str, str]:
    """What the table shows, in two lines."""
    moved = [line for line in lines if line.how]
    best, worst = max(moved, key=lambda line: line.gain), min(moved, key=lambda line: line.gain)
    helped = sum(line.gain > 0 for line in moved)
    first = (
        f"{helped} of {len(moved)} transfers help languages without any labelled data; the most: "
        f"{best.target}, {best.how}, {best.gain:+.1f} points over {best.languages} languages."
    )
    second = (
        f"The least: {worst.target}, {worst.how}, {worst.gain:+.1f} points. One seed on small data: it shows "
        "that the path works, not which task is best."
    )
    return first, second
