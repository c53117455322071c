"""Measures the effect of a finished training: of adapters on hidden states, of heads on predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from adapterstilts.kinds.base import Batch, Feature, pad_batch
from adapterstilts.kinds.subwords import sequences
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.adapter_effect import relative_changes
from adapterstilts.model.host import Host
from adapterstilts.run.batches import sorted_batches
from adapterstilts.run.predict import outputs, to_device
from adapterstilts.run.sampling import Stream

PREDICTED = 64  # inputs of each task whose predictions are counted
COMPARED = 16  # inputs whose hidden states are compared, of all tasks together
TOKENS = 1024  # of one comparison, which holds the states of all layers twice
DIGITS = 6
# For runs without training data, such as merged adapters for retrieval
SENTENCES = (
    "The train to the coast leaves at nine.",
    "She did not find the book that her brother had left on the table.",
    "Where was the first bridge over the river built?",
    "Two children play football in front of a red house.",
)

Item = TypeVar("Item")


def measure(host: Host, setup: ActiveAdapters, streams: Sequence[Stream]) -> dict[str, Any]:
    """The effect of the active adapters and heads, in the form that `store.effect.Effect` reads.

    The same weights give the same numbers: rows are chosen by position, not at random.

    Args:
        streams: Streams of the tasks. Mixed-in text is excluded because its head is discarded after training.
            If empty (nothing was trained), the adapters are measured on `SENTENCES`.

    Returns:
        An empty dictionary if no adapter is active.
    """
    if not setup.stack and not setup.fused:
        return {}
    inputs = [_inputs(stream) for stream in streams]
    heads = {
        stream.model.task.name: majority
        for stream, features in zip(streams, inputs, strict=True)
        if (majority := _majority(stream, features))
    }
    share = max(1, COMPARED // max(1, len(streams)))
    compared = [feature for features in inputs for feature in spread(features, share)] or _sentences(host)
    changes = relative_changes(host, setup, _batches(host, compared))
    adapters = {name: [round(ratio, DIGITS) for ratio in layers] for name, layers in changes.items()}
    return {"adapters": adapters, "heads": heads, "examples": len(compared)}


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly spread: files are often sorted by label."""
    if len(items) <= count:
        return list(items)
    return [items[n * len(items) // count] for n in range(count)]


def _inputs(stream: Stream) -> list[Feature]:
    """Features of development rows, or of training rows where there are no others."""
    if not stream.dev:
        return spread(stream.features, PREDICTED)
    model, rows = stream.model, spread(stream.dev, PREDICTED)
    encoded = model.kind.encode(rows, model.task, model.host.tokenizer, model.encoding)
    return spread(encoded, PREDICTED)


def _majority(stream: Stream, features: Sequence[Feature]) -> dict[str, Any] | None:
    """The most frequent prediction of a task's head; None where there is nothing to predict."""
    said = outputs(stream.model, features, f"{stream.model.task.name} predictions")
    chosen, gold = stream.model.kind.classes(said, features)
    if not len(chosen):
        return None
    classes, counts = np.unique(chosen, return_counts=True)
    _, gold_counts = np.unique(gold, return_counts=True)
    return {
        "majority": int(classes[counts.argmax()]),
        "share": round(float(counts.max() / len(chosen)), DIGITS),
        "gold_share": round(float(gold_counts.max() / len(gold)), DIGITS),
        "predictions": len(chosen),
        "development": bool(stream.dev),
    }


def _sentences(host: Host) -> list[Feature]:
    pieces = sequences(host.tokenizer, SENTENCES, None, 64)
    nothing = np.empty(0, np.int32)
    return [Feature(n, (ids,), (types,), nothing) for n, (ids, types) in enumerate(pieces)]


def _batches(host: Host, features: Sequence[Feature]) -> list[Batch]:
    """Inputs without labels, on the device."""
    lengths, widths = [feature.length for feature in features], [len(feature.ids) for feature in features]
    return [
        to_device(pad_batch([features[n] for n in indices], host.tokenizer.pad_token_id))
        for indices in sorted_batches(lengths, TOKENS, widths)
    ]
