"""The verbs as typed functions.

Example:
    >>> from adapterstilts.api import Options, compose, evaluate, train_adapter
    >>> options = Options(data_dir="download")
    >>> squad = train_adapter("squad_v1", options)  # doctest: +SKIP
    >>> tuned = compose("tydiqa", "sequential", [squad.id], options)  # doctest: +SKIP
    >>> evaluate(tuned.id, "tydiqa", ["sw", "fi"], options)[0].scores  # doctest: +SKIP
"""

from adapterstilts.report.xtreme_submission import Submission, submit
from adapterstilts.run.evaluate import Evaluation, evaluate
from adapterstilts.run.options import Options
from adapterstilts.run.prediction import predict, predict_inputs, predicted_form, predicted_kind
from adapterstilts.run.train import compose, train_adapter

__all__ = [
    "Evaluation", "Options", "Submission", "compose", "evaluate", "predict", "predict_inputs",
    "predicted_form", "predicted_kind", "submit", "train_adapter",
]  # fmt: skip
