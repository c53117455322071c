"""Forward passes over one language's features, for every kind: predict, decode, score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from adapterstilts.data.rows import Row, text_size
from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import Batch, Encoding, Feature, Floats, Kind, Metrics, Prediction
from adapterstilts.kinds.bootstrap import interval
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from adapterstilts.run.batches import sorted_batches
from adapterstilts.run.device import accelerator, autocast, free_memory, out_of_memory
from adapterstilts.run.progress import say, track
from adapterstilts.tasks.spec import Task

TOKENS_PER_BATCH = 8192  # padded subwords of one forward pass
PORTION_ROWS = 1024  # of a file that is predicted for: rows that are read and encoded together,
PORTION_TEXT = 500_000  # or fewer, where they have this many characters

T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """A host with the composition that is active in it, and how it computes."""

    host: Host
    setup: ActiveAdapters
    kind: Kind[Any]
    task: Task
    encoding: Encoding
    precision: str


def to_device(batch: Batch) -> Batch:
    """The batch on the accelerator's device."""
    device = accelerator().device
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def outputs(model: Model, features: Sequence[Feature], title: str = "predicting") -> list[Floats]:
    """What the model says of each feature, in feature order: logits, or one embedding [H].

    Batches are sorted by length; the result does not depend on the order of the features.
    """
    host = model.host
    lengths = [feature.length for feature in features]
    batches = sorted_batches(lengths, TOKENS_PER_BATCH, [len(feature.ids) for feature in features])
    found: list[Floats] = [np.empty(0, np.float32)] * len(features)
    parts = 1
    host.model.eval()
    host.use_training_attention(False)
    with torch.inference_mode(), autocast(model.precision):
        for indices in track(batches, title, len(features)):
            values, parts = _in_parts(model, [features[n] for n in indices], parts)
            for index, value in zip(indices, values, strict=True):
                found[index] = value
    return found


def _in_parts(model: Model, batch: Sequence[Feature], parts: int) -> tuple[list[Floats], int]:
    """What the model says of one batch, and in how many parts it had to be cut because memory is short."""
    while True:
        size = math.ceil(len(batch) / parts)
        try:
            cut = [batch[start : start + size] for start in range(0, len(batch), size)]
            return [value for part in cut for value in _forward(model, part)], parts
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or parts >= len(batch):
                raise
        free_memory()  # here, where the error and all that it holds is gone
        parts *= 2
        say(f"out of memory: batches are evaluated in {parts} parts from here on")


def _forward(model: Model, features: Sequence[Feature]) -> list[Floats]:
    """Logits, or one embedding [H], of each feature."""
    host, tokenizer = model.host, model.host.tokenizer
    batch = to_device(model.kind.collate(features, tokenizer.pad_token_id))
    if model.setup.head is not None:
        return _finite(model.kind.split(host.forward(batch, model.setup.head).float(), features))
    pooled = model.kind.embed(partial(host.hidden_states, batch), batch, tokenizer, model.encoding)
    return _finite(list(pooled.cpu().numpy()))


def _finite(values: list[Floats]) -> list[Floats]:
    """The values, refused where one is NaN or infinite: no score and no label can rest on it."""
    if not all(np.isfinite(value).all() for value in values):
        raise AdapterError(
            "the model computes values that are not finite (NaN or infinity): its weights are damaged, or "
            "training diverged (lower --learning-rate), or they are too large for this precision (try "
            "--precision fp32)"
        )
    return values


def predict(model: Model, rows: Sequence[Row], title: str = "predicting") -> list[Prediction]:
    """One prediction per row (retrieval: per query).

    Raises:
        AdapterError: the model computes NaN or infinity.
    """
    features = model.kind.encode(rows, model.task, model.host.tokenizer, model.encoding)
    found = outputs(model, features, title)
    return model.kind.decode(found, features, rows, model.task, model.encoding)


def predict_neighbours(model: Model, rows: Sequence[Row]) -> list[Prediction]:
    """As `predict`, for a kind without a head: of each portion only the embeddings are kept."""
    kind, vectors = model.kind, list[Floats]()
    for portion in in_portions(rows, text_size):
        features = kind.encode(portion, model.task, model.host.tokenizer, model.encoding)
        vectors += outputs(model, features)
    return kind.decode(vectors, [], rows, model.task, model.encoding)


def in_portions(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in lists that together fit in memory, each read when the one before has been used.

    Args:
        size: characters of an item.
    """
    portion: list[T] = []
    total = 0
    for item in items:
        portion.append(item)
        total += size(item)
        if len(portion) == PORTION_ROWS or total >= PORTION_TEXT:
            yield portion
            portion, total = [], 0
    if portion:
        yield portion


def evaluate(model: Model, rows: Sequence[Row], language: str) -> tuple[Metrics, list[Prediction]]:
    """Predictions for the rows and their metrics, in percent.

    "low" and "high" bound the 95 % confidence interval of the score.
    """
    kind, task = model.kind, model.task
    predictions = predict(model, rows, f"{task.name} {language}")
    metrics = kind.score(predictions, rows, task, language)
    counts = kind.counts(predictions, rows, task, language)
    low, high = interval(counts, lambda sums: kind.rates(sums)[task.metric])
    return {**metrics, "low": low, "high": high}, predictions
