"""Which targets a run can be evaluated on, and which of its heads answers each."""

from __future__ import annotations

from typing import Any

from adapterstilts.errors import ConfigError
from adapterstilts.kinds.registry import default_encoding
from adapterstilts.model.saved import read_active_adapters
from adapterstilts.store import Run, tasks_of
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import Task


def named(name: str, run: Run) -> Task:
    """The target of that name; a task of one's own goes by its name with the runs that it trained."""
    own = {task.name: task for task in tasks_of(run)}
    return own[name] if name in own else get_task(name)


def targets_of(run: Run) -> list[Task]:
    """Every target that one of the run's tasks trains.

    Raises:
        ConfigError: there is none.
    """
    trained = {task.name: task for task in tasks_of(run)}
    targets = [
        each
        for each in {**all_tasks(), **trained}.values()
        if each.role not in ("intermediate", "language")
        and trained.keys() & {each.name, each.trained_on, *each.then_trained_on}
    ]
    if not targets:
        raise ConfigError(f"{run.id} is of '{run.job.task}', which trains no target: name one with --task")
    return targets


def head_for(run: Run, target: Task) -> Task | None:
    """The one of the run's tasks whose head answers the target; None where none is wanted (retrieval).

    Of several that fit it is the one that trains the target, else the first.

    Raises:
        ConfigError: the run has no such head.
    """
    if not target.kind_spec.needs_head:
        return None
    trained = tasks_of(run)
    fitting = [
        each
        for each in trained
        if each.name != TEXT and (each.kind, each.labels) == (target.kind, target.labels)
    ]
    if not fitting:
        kinds = ", ".join(dict.fromkeys(task.kind for task in trained))
        raise ConfigError(
            f"{run.id} was trained on {run.job.task} ({kinds}), which has no head for {target.name} "
            f"({target.kind}): transfer it first (adapterstilts sequential {target.name} {run.id})"
        )
    if not read_active_adapters(run.path)[1]:
        raise ConfigError(
            f"{run.id} came without its head: build on it (adapterstilts sequential {target.name} {run.id}), "
            "or evaluate retrieval with it"
        )
    trainers = (target.name, target.trained_on, *target.then_trained_on)
    return next((each for each in fitting if each.name in trainers), fitting[0])


def own_encoding(run: Run, target: Task) -> dict[str, Any]:
    """The encoding that the head for the target, or else a task of its kind, was trained with.

    That words were encoded separately is left out: then each language's default is evaluated.
    """
    encodings = run.job.encoding
    several = "+" in run.job.task or len(tasks_of(run)) > 1
    same = [task for task in tasks_of(run) if task.kind == target.kind]
    if not same:
        return {}
    trained = head_for(run, target) or same[0]
    own = dict(encodings[trained.name] if several else encodings)
    return default_encoding(target.kind, own).inherited()
