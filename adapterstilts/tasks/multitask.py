"""Several tasks trained together into one adapter: how they are named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# The nine English intermediate tasks of Phang et al. 2020 (arXiv 2005.13013), there also trained together.
NINE = ("anli_plus", "ccg", "cosmosqa", "csqa", "hellaswag", "mnli", "qqp", "squad_v1", "squad_v2")
MULTITASK = "multitask"
TEXT = "mlm"  # plain text, trained on by itself or mixed in: always the last


def split_name(name: str) -> tuple[str, ...]:
    """Returns the names in `a+b+c`, in order; `multitask` is replaced by the paper's nine tasks."""
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():  # a plus sign in the path of a task's file
        return (name,)
    if name.endswith("+"):  # a task name such as ANLI+
        return (name,)
    return tuple(task for part in name.split("+") for task in (NINE if part == MULTITASK else (part,)))


def join_names(names: Iterable[str]) -> str:
    """Returns the name of a multi-task run, which does not depend on the order of its tasks."""
    unique = set(names)
    tasks, text = sorted(unique - {TEXT}), [TEXT] if TEXT in unique else []
    return "+".join([MULTITASK, *text] if tuple(tasks) == NINE else [*tasks, *text])
