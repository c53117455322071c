"""Intermediate-task transfer across languages with adapters on a frozen multilingual encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterstilts.api import Evaluation, Options, compose, evaluate, predict, train_adapter

__version__ = "0.1.0"
__all__ = ["Evaluation", "Options", "compose", "evaluate", "predict", "train_adapter"]


def __getattr__(name: str) -> Any:
    """Loads the Python API when one of its names is first used: it needs torch, listing tasks does not."""
    if name not in __all__:
        raise AttributeError(f"module 'adapterstilts' has no attribute '{name}'")
    from adapterstilts import api

    return getattr(api, name)
