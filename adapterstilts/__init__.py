"""Intermediate-task transfer across languages with adapters on a frozen multilingual encoder.

Example:
    >>> from adapterstilts import Sequential, TrainingOptions, compose, evaluate, train_adapter
    >>> options = TrainingOptions(data_dir="download")
    >>> squad = train_adapter("squad_v1", options)  # doctest: +SKIP
    >>> tydiqa = compose("tydiqa", Sequential(squad), options)  # doctest: +SKIP
    >>> evaluate(tydiqa, languages=["sw", "fi"])  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from adapterstilts.version import __version__ as __version__

if TYPE_CHECKING:
    from adapterstilts.composition import Average, Fuse, Sequential, Single, Stack
    from adapterstilts.hub.publish import Publishing, publish
    from adapterstilts.hub.pull import pull
    from adapterstilts.hub.third_party import PullHints
    from adapterstilts.report.xtreme_submission import Submission, submit
    from adapterstilts.run.evaluate import evaluate
    from adapterstilts.run.options import EvaluationOptions, PredictionOptions, TrainingOptions
    from adapterstilts.run.predict import predict
    from adapterstilts.run.results import Evaluation, Evaluations
    from adapterstilts.run.train import compose, train_adapter
    from adapterstilts.store import Run, Store

# Name -> module. A module loads when one of its names is first used: most of them need torch.
_MODULES = {
    "Average": "composition",
    "Evaluation": "run.results",
    "EvaluationOptions": "run.options",
    "Evaluations": "run.results",
    "Fuse": "composition",
    "PredictionOptions": "run.options",
    "Publishing": "hub.publish",
    "PullHints": "hub.third_party",
    "Run": "store",
    "Sequential": "composition",
    "Single": "composition",
    "Stack": "composition",
    "Store": "store",
    "Submission": "report.xtreme_submission",
    "TrainingOptions": "run.options",
    "compose": "run.train",
    "evaluate": "run.evaluate",
    "predict": "run.predict",
    "publish": "hub.publish",
    "pull": "hub.pull",
    "submit": "report.xtreme_submission",
    "train_adapter": "run.train",
}
__all__ = [
    "Average", "Evaluation", "EvaluationOptions", "Evaluations", "Fuse", "PredictionOptions",
    "Publishing", "PullHints", "Run",
    "Sequential", "Single", "Stack", "Store", "Submission", "TrainingOptions", "compose", "evaluate",
    "predict", "publish", "pull", "submit", "train_adapter",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads a part of the Python API when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'adapterstilts' has no attribute '{name}'")
    return getattr(importlib.import_module(f"adapterstilts.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Lists the Python API, for completion in a shell or notebook."""
    return sorted({*globals(), *__all__})
