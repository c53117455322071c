"""Precisions of a grid's results, and its adapters that were pulled instead of trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.status import GridStatus

SHOWN = 3  # names in one list; further jobs are only counted
REMEDY = "Set `hyperparameters: {precision: fp32}` (or bf16), so that every machine uses the same precision"


def is_auto(request: JobSpec) -> bool:
    """Whether the precision of a request depends on the machine that computes it."""
    if request.language:
        return request.settings.precision in (None, "auto")
    return (
        request.settings.hyperparameters is not None and request.settings.hyperparameters.precision == "auto"
    )


def by_precision(requests: Iterable[JobSpec], state: GridStatus) -> dict[str, list[JobSpec]]:
    """Precision -> finished requests with `precision: auto`."""
    groups: dict[str, list[JobSpec]] = {}
    for request in requests:
        precision = state.precisions.get(request.digest)
        if precision and is_auto(request):
            groups.setdefault(precision, []).append(request)
    return dict(sorted(groups.items()))


def disagreement(requests: Iterable[JobSpec], state: GridStatus, here: Callable[[], str]) -> str | None:
    """A warning if `precision: auto` stands for several precisions in one grid.

    Args:
        here: Function that returns the precision of `auto` on this machine. It imports large libraries, so
            it is called only if some jobs are finished and some are not.

    Returns:
        None if all finished and all open jobs have one precision.
    """
    groups = by_precision(requests, state)
    ours = here() if groups and state.total("done") < state.all else None
    if len(groups.keys() | ({ours} if ours else set())) < 2:
        return None
    parts = [f"{_listed(done)} in {precision}" for precision, done in groups.items()]
    rest = f"; this machine would compute the other jobs in {ours}" if ours else ""
    return (
        f"`precision: auto` differs between the machines of this grid: {'; '.join(parts)}{rest}. "
        f"Scores of different precisions are not comparable. {REMEDY}"
    )


def pulled_runs(requests: Iterable[JobSpec], state: GridStatus) -> list[str]:
    """A line for each training whose result was pulled: its name, run and repository."""
    return [
        f"{request.name} was not trained here: {state.runs[request.digest]} was pulled from "
        f"{state.pulled[request.digest]}"
        for request in requests
        if request.digest in state.pulled
    ]


def _listed(done: Sequence[JobSpec]) -> str:
    """The numbers of trainings and evaluations, and the first names."""
    evaluations = sum(bool(request.language) for request in done)
    trainings = len(done) - evaluations
    counts = [
        f"{number} {noun}{'s' * (number > 1)}"
        for number, noun in ((trainings, "training"), (evaluations, "evaluation"))
        if number
    ]
    names = [request.name for request in done[:SHOWN]]
    more = f" and {len(done) - SHOWN} more" if len(done) > SHOWN else ""
    return f"{' and '.join(counts)} ({', '.join(names)}{more})"
