"""Intermediate-task transfer across languages with adapters on a frozen multilingual encoder.

Example:
    >>> from adapterstilts import Options, compose, evaluate, train_adapter
    >>> options = Options(data_dir="download")
    >>> squad = train_adapter("squad_v1", options)  # doctest: +SKIP
    >>> tuned = compose("tydiqa", "sequential", [squad.id], options)  # doctest: +SKIP
    >>> evaluate(tuned.id, "tydiqa", ["sw", "fi"], options)[0].scores  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from adapterstilts.version import __version__ as __version__

if TYPE_CHECKING:
    from adapterstilts.hub.publish import Publishing, publish
    from adapterstilts.hub.pull import pull
    from adapterstilts.hub.third_party import PullHints
    from adapterstilts.report.xtreme_submission import Submission, submit
    from adapterstilts.run.evaluate import Evaluation, evaluate
    from adapterstilts.run.options import Options
    from adapterstilts.run.prediction import predict, predict_inputs, predicted_form, predicted_kind
    from adapterstilts.run.train import compose, train_adapter

__all__ = [
    "Evaluation", "Options", "Publishing", "PullHints", "Submission",
    "compose", "evaluate", "predict", "predict_inputs",
    "predicted_form", "predicted_kind", "publish", "pull", "submit", "train_adapter",
]  # fmt: skip
# Name -> module. The modules need torch, so they load when a name is first used.
MODULES = {
    "Submission": "report.xtreme_submission",
    "submit": "report.xtreme_submission",
    "Publishing": "hub.publish",
    "publish": "hub.publish",
    "pull": "hub.pull",
    "PullHints": "hub.third_party",
    "Evaluation": "run.evaluate",
    "evaluate": "run.evaluate",
    "Options": "run.options",
    "predict": "run.prediction",
    "predict_inputs": "run.prediction",
    "predicted_form": "run.prediction",
    "predicted_kind": "run.prediction",
    "compose": "run.train",
    "train_adapter": "run.train",
}


def __getattr__(name: str) -> Any:
    """Loads a part of the Python API when it is first used."""
    if name not in MODULES:
        raise AttributeError(f"module 'adapterstilts' has no attribute '{name}'")
    return getattr(importlib.import_module(f"adapterstilts.{MODULES[name]}"), name)
