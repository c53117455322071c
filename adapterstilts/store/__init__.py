"""The store of results: content-addressed folders, made complete and then renamed into place."""

from __future__ import annotations

from adapterstilts.store.effect import Effect, HeadEffect
from adapterstilts.store.files import link
from adapterstilts.store.origin import EvalOrigin, PulledFrom, TrainOrigin
from adapterstilts.store.predictions import read_predictions, write_predictions
from adapterstilts.store.runs import Damaged, Run
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
    "link",
    "read_predictions",
    "write_predictions",
]
