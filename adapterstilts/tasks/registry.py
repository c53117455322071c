"""Finds a task by its name: the entries of all task files, with their aliases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from adapterstilts.errors import unknown
from adapterstilts.tasks.intermediate import INTERMEDIATE
from adapterstilts.tasks.mini import MINI
from adapterstilts.tasks.spec import Task
from adapterstilts.tasks.targets import TARGETS


@cache
def all_tasks() -> Mapping[str, Task]:
    """Every task by name, in the order of the task files: intermediate, targets, bundled mini tasks."""
    return MappingProxyType({task.name: task for task in (*INTERMEDIATE, *TARGETS, *MINI)})


@cache
def _names() -> Mapping[str, Task]:
    tasks = all_tasks().values()
    return MappingProxyType({name: task for task in tasks for name in (task.name, *task.aliases)})


def get(name: str) -> Task:
    """The task of that name or alias.

    Raises:
        ConfigError: no task has it; the nearest name is given.
    """
    try:
        return _names()[name]
    except KeyError:
        raise unknown("task", name, _names()) from None


def check_language(task: Task, language: str) -> None:
    """Refuses a language that the task does not have.

    Raises:
        ConfigError: naming the languages that it has.
    """
    if language not in task.languages:
        raise unknown(f"language of {task.name}", language, task.languages)
