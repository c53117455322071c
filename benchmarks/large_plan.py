"""Measures time and memory of planning a very large grid.

Plans 100 intermediate tasks by 100 targets by 100 languages by 5 seeds, which are five million evaluations,
and reads the plan as `grid plan` and `grid status` do, with an empty store. Times are processor times, so
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
from adapterstilts.tasks.lookup import get_task

Result = TypeVar("Result")
DEFAULT_SIZES = ("100", "100", "5")


def main() -> None:
    """Prints a table with a row for each step."""
    sizes = (*sys.argv[1:], *DEFAULT_SIZES[len(sys.argv) - 1 :])
    task_count, language_count, seed_count = map(int, sizes)
    # Copies of a real task under other names: planning reads no data
    mnli = get_task("mnli")
    names = [f"{role}{number}" for role in ("source", "target") for number in range(task_count)]
    tasks = {name: mnli.model_copy(update={"name": name, "trained_on": name}) for name in names}
    grid_config = GridConfig.model_validate({
        "targets": [name for name in names if name.startswith("target")],
        "intermediate": [name for name in names if name.startswith("source")],
        "seeds": list(range(seed_count)),
    })  # fmt: skip
    scope = EvalScope("test", tuple(f"l{number}" for number in range(language_count)))
    scopes = dict.fromkeys(grid_config.targets, scope)
    print("| step | seconds |\n|---|---|")
    plan = timed("expand the grid config", lambda: expand(grid_config, scopes, get=tasks.__getitem__))
    timed("list all jobs", lambda: sum(1 for _ in plan.jobs()))
    with tempfile.TemporaryDirectory() as folder:
        status = timed("read the status", lambda: read_status(plan.jobs(), Records(Path(folder))))
        timed("estimate the jobs", lambda: Estimator().total(status.pending(plan.jobs())))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    evaluations = status.counts["evaluate", "waiting"]
    print(f"\n{evaluations:,} evaluations of {len(plan.trainings):,} trainings; at most {peak:,.0f} MB")


def timed(name: str, step: Callable[[], Result]) -> Result:
    """Runs a step and prints its processor seconds."""
    start = time.process_time()
    result = step()
    print(f"| {name} | {time.process_time() - start:.1f} |", flush=True)
    return result


if __name__ == "__main__":
    main()
