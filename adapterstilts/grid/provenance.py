"""What the results of a grid were computed in, and which of its adapters were pulled and not trained here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from adapterstilts.grid.request import Request
from adapterstilts.grid.state import State

SHOWN = 3  # names in one list; of more jobs the number is said
REMEDY = (
    "Set `recipe: {precision: fp32}` (or bf16) in the recipe: then every machine computes in the same one"
)


def is_auto(request: Request) -> bool:
    """Whether the machine that computes a request chooses the precision."""
    if request.language:
        return request.told.precision in (None, "auto")
    return request.told.recipe is not None and request.told.recipe.precision == "auto"


def by_precision(requests: Iterable[Request], state: State) -> dict[str, list[Request]]:
    """Precision -> finished requests whose precision their machine chose."""
    groups: dict[str, list[Request]] = {}
    for request in requests:
        precision = state.precisions.get(request.digest)
        if precision and is_auto(request):
            groups.setdefault(precision, []).append(request)
    return dict(sorted(groups.items()))


def disagreement(requests: Iterable[Request], state: State, here: Callable[[], str]) -> str | None:
    """What to say where `precision: auto` was, or would be, several precisions in one grid.

    Args:
        here: returns what this machine computes `auto` in. Asked only where something was computed, and
            something is left to compute: the answer takes large libraries.

    Returns:
        None where all that is finished, and all that is left, is of one precision.
    """
    groups = by_precision(requests, state)
    ours = here() if groups and state.total("done") < state.all else None
    if len(groups.keys() | ({ours} if ours else set())) < 2:
        return None
    parts = [f"{_listed(done)} in {precision}" for precision, done in groups.items()]
    rest = f"; what is left would be in {ours} on this machine" if ours else ""
    return (
        f"`precision: auto` is not the same on all machines of this grid: {'; '.join(parts)}{rest}. "
        f"Scores of different precisions are not comparable. {REMEDY}"
    )


def pulled_runs(requests: Iterable[Request], state: State) -> list[str]:
    """A line for each training whose result was pulled: its name, run and repository."""
    return [
        f"{request.name} is {state.runs[request.digest]}, pulled from {state.pulled[request.digest]} and not "
        "trained here"
        for request in requests
        if request.digest in state.pulled
    ]


def _listed(done: Sequence[Request]) -> str:
    """How many trainings and evaluations, and the names of the first of them."""
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
