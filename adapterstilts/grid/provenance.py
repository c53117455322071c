"""Provenance of a grid's results: the precision of each, and the adapters that were pulled, not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.status import GridStatus

MAX_NAMES = 3  # names in one message; further jobs are only counted
REMEDY = "Set `hyperparameters: {precision: fp32}` (or bf16), so that every machine uses the same precision"


def disagreement(
    jobs: Iterable[JobSpec], status: GridStatus, auto_precision: Callable[[], str]
) -> str | None:
    """Returns a warning if `precision: auto` means several precisions in one grid.

    Args:
        jobs: Jobs of the grid.
        status: Status of the grid.
        auto_precision: Function that returns the precision of `auto` on this machine. It imports large
            libraries, so it is called only if some jobs are finished and some are not.

    Returns:
        The warning; None if all finished and all open jobs have one precision.
    """
    groups: dict[str, list[JobSpec]] = {}
    for job in jobs:
        precision = status.precisions.get(job.digest)
        if precision and _is_auto(job):
            groups.setdefault(precision, []).append(job)
    ours = auto_precision() if groups and status.count("done") < status.job_count else None
    if len(groups.keys() | ({ours} if ours else set())) < 2:
        return None
    parts = [f"{_describe(groups[precision])} in {precision}" for precision in sorted(groups)]
    rest = f"; this machine would compute the other jobs in {ours}" if ours else ""
    return (
        f"`precision: auto` differs between the machines of this grid: {'; '.join(parts)}{rest}. "
        f"Scores of different precisions are not comparable. {REMEDY}"
    )


def _is_auto(job: JobSpec) -> bool:
    """Whether the precision of a job depends on the machine that runs it."""
    # An evaluation has no hyperparameters; its precision is a setting of its own, unset by default.
    if job.language:
        return job.settings.precision in (None, "auto")
    return job.settings.hyperparameters is not None and job.settings.hyperparameters.precision == "auto"


def _describe(jobs: Sequence[JobSpec]) -> str:
    """The numbers of trainings and evaluations, and the names of some."""
    evaluations = sum(bool(job.language) for job in jobs)
    trainings = len(jobs) - evaluations
    counts = [
        f"{number} {noun}{'s' * (number > 1)}"
        for number, noun in ((trainings, "training"), (evaluations, "evaluation"))
        if number
    ]
    names = [job.name for job in jobs[:MAX_NAMES]]
    rest = f" and {len(jobs) - MAX_NAMES} more" if len(jobs) > MAX_NAMES else ""
    return f"{' and '.join(counts)} ({', '.join(names)}{rest})"
