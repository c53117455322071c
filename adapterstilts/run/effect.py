"""Measures the effect of a finished training: of adapters on hidden states, of heads on predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from adapterstilts.kinds.base import Batch, Feature, Kind
from adapterstilts.kinds.subwords import sequences
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.adapter_effect import relative_changes
from adapterstilts.model.host import Host
from adapterstilts.run.batches import sorted_batches
from adapterstilts.run.predictor import to_device
from adapterstilts.run.sampling import TrainingSchedule
from adapterstilts.run.training_data import TaskData

PREDICTED = 64  # inputs of each task whose predictions are counted
COMPARED = 16  # inputs whose hidden states are compared, over all tasks
TOKENS = 1024  # padded subwords of one comparison, which holds the states of all layers twice
DIGITS = 6
# For runs without training data, such as merged adapters for retrieval.
SENTENCES = (
    "The train to the coast leaves at nine.",
    "She did not find the book that her brother had left on the table.",
    "Where was the first bridge over the river built?",
    "Two children play football in front of a red house.",
)

Item = TypeVar("Item")


def measure(host: Host, adapters: ActiveAdapters, schedule: TrainingSchedule | None = None) -> dict[str, Any]:
    """Returns the effect of the active adapters and heads, in the form that `store.effect.Effect` reads.

    The same weights give the same numbers: rows are chosen by position, not at random.

    Args:
        host: The host with the trained parts.
        adapters: The active adapters. Without any, the result is empty.
        schedule: The finished training. Its mixed-in text is excluded: that head is discarded. If None
            (nothing was trained), the adapters are measured on `SENTENCES`.
    """
    if not adapters.stack and not adapters.fused:
        return {}
    heads: dict[str, Any] = {}
    features: list[Feature] = []
    if schedule:
        share = max(1, COMPARED // max(1, len(schedule.tasks)))
        for data in schedule.tasks:
            inputs = _inputs(schedule, data)
            if majority := _majority(schedule, data, inputs):
                heads[data.task.name] = majority
            features += _spread(inputs, share)
    changes = relative_changes(host, adapters, _batches(host, features or _sentences(host)))
    return {
        "adapters": {name: [round(ratio, DIGITS) for ratio in layers] for name, layers in changes.items()},
        "heads": heads,
        "examples": len(features) or len(SENTENCES),
    }


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Returns at most `count` of the items, evenly spread: files are often sorted by label."""
    if len(items) <= count:
        return list(items)
    return [items[n * len(items) // count] for n in range(count)]


def _inputs(schedule: TrainingSchedule, data: TaskData) -> list[Feature]:
    """Returns features of development rows, or of training rows if there are none."""
    if not data.dev:
        return _spread(data.features, PREDICTED)
    return _spread(schedule.predictor(data).encode(_spread(data.dev, PREDICTED)), PREDICTED)


def _majority(
    schedule: TrainingSchedule, data: TaskData, features: Sequence[Feature]
) -> dict[str, Any] | None:
    """Returns the most frequent prediction of a task's head; None if there is nothing to predict."""
    outputs = schedule.predictor(data).outputs(features, f"{data.task.name} predictions")
    predicted, gold = data.kind.classes(outputs, features)
    if not len(predicted):
        return None
    classes, counts = np.unique(predicted, return_counts=True)
    _, gold_counts = np.unique(gold, return_counts=True)
    return {
        "majority": int(classes[counts.argmax()]),
        "share": round(float(counts.max() / len(predicted)), DIGITS),
        "gold_share": round(float(gold_counts.max() / len(gold)), DIGITS),
        "predictions": len(predicted),
        "development": bool(data.dev),
    }


def _sentences(host: Host) -> list[Feature]:
    pieces = sequences(host.tokenizer, SENTENCES, None, 64)
    no_target = np.empty(0, np.int32)
    return [Feature(n, (ids,), (types,), no_target) for n, (ids, types) in enumerate(pieces)]


def _batches(host: Host, features: Sequence[Feature]) -> list[Batch]:
    """Returns batches without labels, on the device."""
    lengths, widths = [feature.length for feature in features], [len(feature.ids) for feature in features]
    return [
        to_device(Kind.pad_batch([features[n] for n in indices], host.tokenizer.pad_token_id))
        for indices in sorted_batches(lengths, TOKENS, widths)
    ]
