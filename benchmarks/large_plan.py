"""How long planning takes where a grid is very large, and what it needs of memory.

Plans 100 intermediate tasks by 100 targets by 100 languages by 5 seeds, which are five million evaluations,
and goes through it as `grid plan` and `grid status` do, over an empty store. Times are of the processor, so
that other programs do not count.

Usage: python benchmarks/large_plan.py [TASKS [LANGUAGES [SEEDS]]]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from adapterstilts.grid.config import GridConfig
from adapterstilts.grid.estimate import Estimator
from adapterstilts.grid.plan import EvalScope, expand
from adapterstilts.grid.records import Records
from adapterstilts.grid.status import read_status
from adapterstilts.tasks import registry

Found = TypeVar("Found")


def main() -> None:
    """Prints a table: a row for each step."""
    tasks, languages, seeds = (
        int(given) for given in (sys.argv[1:] + ["100", "100", "5"][len(sys.argv) - 1 :])
    )
    like = registry.get("mnli")
    named = {
        name: like.model_copy(update={"name": name, "trained_on": name})
        for name in (f"{role}{number}" for role in ("source", "target") for number in range(tasks))
    }
    grid_config = GridConfig.model_validate({
        "targets": [name for name in named if name.startswith("target")],
        "intermediate": [name for name in named if name.startswith("source")],
        "seeds": list(range(seeds)),
    })  # fmt: skip
    scope = EvalScope("test", tuple(f"l{number}" for number in range(languages)))
    print("| step | seconds |\n|---|---|")
    plan = timed(
        "expand the recipe",
        lambda: expand(grid_config, dict.fromkeys(grid_config.targets, scope), get=named.__getitem__),
    )
    timed("go through all jobs", lambda: sum(1 for _ in plan.jobs()))
    with tempfile.TemporaryDirectory() as folder:
        state = timed("see what is done", lambda: read_status(plan.jobs(), Records(Path(folder))))
        timed("estimate the rest", lambda: Estimator().total(state.pending(plan.jobs())))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    evaluations = state.counts["evaluate", "waiting"]
    print(f"\n{evaluations:,} evaluations of {len(plan.trainings):,} trainings; {peak:,.0f} MB at the most")


def timed(name: str, step: Callable[[], Found]) -> Found:
    """Makes a step and prints how many seconds of the processor it took."""
    began = time.process_time()
    found = step()
    print(f"| {name} | {time.process_time() - began:.1f} |", flush=True)
    return found


if __name__ == "__main__":
    main()
