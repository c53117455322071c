"""Finds a task by its name: the entries of all task files, with their aliases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.tasks.intermediate import INTERMEDIATE
from adapterstilts.tasks.mini import MINI
from adapterstilts.tasks.plain_text import MLM
from adapterstilts.tasks.spec import Task
from adapterstilts.tasks.targets import TARGETS
from adapterstilts.tasks.xtreme_r import COPA, XTREME_R


@cache
def all_tasks() -> Mapping[str, Task]:
    """Every task by name, in the order of the task files: intermediate, targets, bundled mini tasks."""
    entries = (*INTERMEDIATE, COPA, *TARGETS, *XTREME_R, MLM, *MINI)
    return MappingProxyType({task.name: task for task in entries})


@cache
def _names() -> Mapping[str, Task]:
    tasks = all_tasks().values()
    return MappingProxyType({name: task for task in tasks for name in (task.name, *task.aliases)})


def get(name: str) -> Task:
    """The task of that name or alias, or the one that a YAML file defines.

    Raises:
        ConfigError: no task has it; the nearest name is given. Or the file's definition is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        from adapterstilts.tasks.yaml_task import load  # it asks this registry for names

        return load(Path(name))
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


def check_code(task: Task, language: str) -> None:
    """Refuses a code that is no language of this or any other task.

    Raises:
        ConfigError: it is unknown; the nearest code is named.
    """
    known = {code for each in all_tasks().values() for code in each.languages} | set(task.languages)
    if language in known:
        return
    near = language.lower().replace("_", "-").partition("-")[0]
    hint = f"did you mean '{near}'? " if near in known else ""
    raise ConfigError(
        f"unknown language code '{language}': {hint}Codes are those of ISO 639-1, such as de, sw or zh, and "
        f"of ISO 639-3 for some others"
    )
