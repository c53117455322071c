"""All tasks of the package: the entries of all task files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from adapterstilts.tasks.intermediate import INTERMEDIATE
from adapterstilts.tasks.mini import MINI
from adapterstilts.tasks.plain_text import MLM
from adapterstilts.tasks.spec import Task
from adapterstilts.tasks.targets import TARGETS
from adapterstilts.tasks.xtreme_r import COPA, XTREME_R


@cache
def all_tasks() -> Mapping[str, Task]:
    """Returns every task by name: intermediate tasks, targets, plain text, bundled mini tasks."""
    entries = (*INTERMEDIATE, COPA, *TARGETS, *XTREME_R, MLM, *MINI)
    return MappingProxyType({task.name: task for task in entries})
