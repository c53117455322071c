"""Gets a task by name, alias or YAML file, and checks language codes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from adapterstilts.errors import unknown
from adapterstilts.tasks import yaml_task
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import Task


@cache
def _names() -> Mapping[str, Task]:
    tasks = all_tasks().values()
    return MappingProxyType({name: task for task in tasks for name in (task.name, *task.aliases)})


def get_task(name: str) -> Task:
    """Returns the task with this name or alias, or the task that a YAML file defines.

    Raises:
        ConfigError: No task has this name; the message suggests the nearest one. Or the YAML file is invalid.
    """
    if name.endswith((".yaml", ".yml")):
        return yaml_task.load(Path(name))
    try:
        return _names()[name]
    except KeyError:
        raise unknown("task", name, _names()) from None


def check_language(task: Task, language: str) -> None:
    """Checks that the task has the language.

    Raises:
        ConfigError: The task does not have the language; the message lists its languages.
    """
    if language not in task.languages:
        raise unknown(f"language of {task.name}", language, task.languages)
