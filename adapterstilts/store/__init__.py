"""The store of results: content-addressed folders, made complete and then renamed into place."""

from __future__ import annotations

from adapterstilts.store.effect import Effect, HeadEffect, effect_in, effect_lines
from adapterstilts.store.files import link
from adapterstilts.store.origin import EvalOrigin, PulledFrom, TrainOrigin
from adapterstilts.store.predictions import read_predictions, write_predictions
from adapterstilts.store.runs import Damaged, Run, task_of, tasks_of
from adapterstilts.store.store import Store, Work

__all__ = [
    "Damaged",
    "Effect",
    "EvalOrigin",
    "HeadEffect",
    "PulledFrom",
    "Run",
    "Store",
    "TrainOrigin",
    "Work",
    "effect_in",
    "effect_lines",
    "link",
    "read_predictions",
    "task_of",
    "tasks_of",
    "write_predictions",
]
