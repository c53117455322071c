"""What the verbs of the grid print: counts, times, and a job as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adapterstilts.cli.console import note, size_text, table

if TYPE_CHECKING:
    from adapterstilts.grid.estimate import Estimate, Estimator
    from adapterstilts.grid.job_spec import JobSpec, JobType
    from adapterstilts.grid.plan import Plan
    from adapterstilts.grid.records import Record
    from adapterstilts.grid.status import GridStatus

FEW = 4  # languages that are named; of more the number is told
TYPES: tuple[tuple[JobType, str], ...] = (
    ("train", "train an adapter"), ("compose", "compose for a target"), ("evaluate", "evaluate a language"),
)  # fmt: skip


def as_dict(job: JobSpec, state: GridStatus) -> dict[str, object]:
    """A job as JSON values."""
    return {
        "digest": job.digest,
        "type": job.type,
        "task": job.task,
        "composition": None if job.language else job.composition,
        "needs": list(job.needs),
        "seed": job.seed,
        "language": job.language or None,
        "split": job.split or None,
        "state": state.state_of(job),
        "run": state.runs.get(job.digest),
        "precision": state.precisions.get(job.digest),
        "pulled": state.pulled.get(job.digest),
        "told": job.settings.model_dump(mode="json", exclude_defaults=True),
    }


def print_counts(state: GridStatus) -> None:
    """How many jobs of each type are where."""
    from adapterstilts.grid.status import STATES

    rows = []
    for kind, name in TYPES:
        each = [state.counts.get((kind, where), 0) for where in STATES]
        rows.append([name, str(sum(each)), *map(str, each)])
    rows.append(["all", str(state.job_count), *(str(state.count(where)) for where in STATES)])
    table(("jobs", "all", *STATES), rows, right=("all", *STATES))
    if state.quick:
        note("there are so many results that their files were not looked at (`grid verify` reads them all)")


def print_provenance(jobs: Iterable[JobSpec], state: GridStatus) -> str | None:
    """Names pulled results, and warns if the results of a grid differ in precision.

    Returns:
        The printed warning about precisions, so that a caller prints it once.
    """
    from adapterstilts.grid.provenance import disagreement, pulled_runs

    if not state.runs:
        return None
    finished = [job for job in jobs if job.digest in state.runs]
    pulled = pulled_runs(finished, state)
    for line in pulled[:FEW]:
        note(line)
    if len(pulled) > FEW:
        note(f"{len(pulled) - FEW} more trainings were pulled (`grid plan --json` lists them)")
    if mixed := disagreement(finished, state, _auto_precision):
        note(mixed)
    return mixed


def _auto_precision() -> str:
    """The precision that "auto" stands for on this machine."""
    from adapterstilts.run.device import resolve_precision

    return resolve_precision("auto")


def print_missing(plan: Plan) -> None:
    """What will fail for want of data."""
    from adapterstilts.grid.availability import without_data, without_evaluation_data

    missing = without_data(plan.trainings.values())
    if missing:
        note(
            f"no training data at hand of {', '.join(missing)}: what needs it will fail "
            f"(adapterstilts tasks show {missing[0]} says what is wanted)"
        )
    if lacking := without_evaluation_data(plan.cells):
        told = [
            f"{name} ({', '.join(codes) if len(codes) <= FEW else f'{len(codes)} languages'})"
            for name, codes in lacking.items()
        ]
        note(f"no evaluation data at hand of {', '.join(told)}: what is not evaluated yet will fail")


def print_time(made: Iterable[Record], jobs: Iterable[JobSpec], estimator: Estimator) -> None:
    """What the jobs that were computed took, and how wrong the estimate was."""
    from adapterstilts.cli.grid_progress import duration

    took = {record.digest: record.seconds for record in made if record.seconds is not None}
    spent = sum(took.values())
    if not spent:
        return
    expected = estimator.total(job for job in jobs if job.digest in took).seconds
    note(
        f"{len(took)} jobs took {duration(spent)} of work; the estimate was {duration(expected)} "
        f"({(expected - spent) / spent:+.0%})"
    )


def print_estimate(found: Estimate, processes: int, state: GridStatus) -> None:
    """Time and disk of what is left, and how sure that is.

    Args:
        processes: that share the work.
        state: of the whole grid, of which something may be left that was not estimated.
    """
    from adapterstilts.cli.grid_progress import duration

    bases = ", ".join(f"{number} {basis}" for basis, number in found.by_basis.items() if number)
    if not bases:
        if state.count("done") == state.job_count:
            note("nothing is left to do")
        return
    time, low, high = (duration(each / processes) for each in (found.seconds, found.low, found.high))
    time = f"{time} ({low} to {high}) with {processes} process{'es' * (processes > 1)}"
    note(f"left: about {time} and {size_text(round(found.bytes))} on disk ({bases})")
    if found.by_basis["rough"]:
        note("rough estimates are for a small encoder on two cores: `grid plan --calibrate` times real steps")
