"""Several tasks trained together into one adapter: how they are named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# The nine English intermediate tasks of Phang et al. 2020 (arXiv 2005.13013), there also trained together.
NINE = ("anli_plus", "ccg", "cosmosqa", "csqa", "hellaswag", "mnli", "qqp", "squad_v1", "squad_v2")
MULTITASK = "multitask"
TEXT = "mlm"  # plain text, trained on by itself or mixed in: always the last


def split_name(name: str) -> tuple[str, ...]:
    """The names in `a+b+c`, as they were given; `multitask` stands for the nine tasks of the paper."""
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():  # a plus sign in the path of a task's file
        return (name,)
    if name.endswith("+"):  # of a task's own name: ANLI+
        return (name,)
    return tuple(one for part in name.split("+") for one in (NINE if part == MULTITASK else (part,)))


def join_names(names: Iterable[str]) -> str:
    """The one name of several tasks, whatever their order: what a run of theirs is of."""
    given = set(names)
    tasks, text = sorted(given - {TEXT}), [TEXT] if TEXT in given else []
    return "+".join([MULTITASK, *text] if tuple(tasks) == NINE else [*tasks, *text])
