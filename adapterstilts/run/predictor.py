"""The forward passes of a loaded run: outputs, predictions, nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from adapterstilts.data.rows import Row, text_size
from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import Batch, Encoding, Feature, Floats, Kind, Prediction
from adapterstilts.kinds.registry import kind_of
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.host import Host
from adapterstilts.run.assemble import restore
from adapterstilts.run.batches import sorted_batches
from adapterstilts.run.device import accelerator, autocast, free_memory, out_of_memory
from adapterstilts.run.host_cache import fresh_host
from adapterstilts.run.progress import bar, say
from adapterstilts.run.resolve import head_task
from adapterstilts.store import Run
from adapterstilts.tasks.spec import Task

TOKENS_PER_BATCH = 8192  # padded subwords of one forward pass
# A file is read in portions of this many rows, or of this many characters if that is fewer rows.
PORTION_ROWS = 1024
PORTION_TEXT = 500_000

T = TypeVar("T")


def to_device(batch: Batch) -> Batch:
    """Returns the batch on the accelerator's device."""
    device = accelerator().device
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


@dataclass(frozen=True)
class Predictor:
    """A host with active adapters, and the task that it predicts for.

    Attributes:
        host: The backbone with its adapters and heads.
        adapters: The active adapters and head; without a head, embeddings are compared.
        task: The task.
        encoding: Settings of the conversion to subwords.
        precision: "fp32" or "bf16".
    """

    host: Host
    adapters: ActiveAdapters
    task: Task
    encoding: Encoding
    precision: str

    @property
    def kind(self) -> Kind[Any]:
        """The kind of the task."""
        return kind_of(self.task)

    def encode(self, rows: Sequence[Row]) -> list[Feature]:
        """Returns the features of the rows, in row order."""
        return self.kind.encode(rows, self.task, self.host.tokenizer, self.encoding)

    def predict(self, rows: Sequence[Row], title: str = "predicting") -> list[Prediction]:
        """Returns one prediction per row (retrieval: per query).

        Raises:
            AdapterError: The model computes NaN or infinity.
        """
        features = self.encode(rows)
        return self.kind.decode(self.outputs(features, title), features, rows, self.task, self.encoding)

    def predict_neighbours(self, rows: Sequence[Row]) -> list[Prediction]:
        """Like `predict`, for kinds without a head and many rows: only embeddings are kept in memory."""
        vectors = [
            vector for part in in_portions(rows, text_size) for vector in self.outputs(self.encode(part))
        ]
        return self.kind.decode(vectors, [], rows, self.task, self.encoding)

    def outputs(self, features: Sequence[Feature], title: str = "predicting") -> list[Floats]:
        """Returns the model's output for each feature, in feature order: logits, or one embedding [H].

        Batches are sorted by length; the result does not depend on the order of the features. If memory runs
        out, batches are split from then on.

        Raises:
            AdapterError: The model computes NaN or infinity.
        """
        lengths = [feature.length for feature in features]
        batches = sorted_batches(lengths, TOKENS_PER_BATCH, [len(feature.ids) for feature in features])
        values: list[Floats] = [np.empty(0, np.float32)] * len(features)
        self.host.model.eval()
        self.host.use_training_attention(False)
        parts = 1
        with torch.inference_mode(), autocast(self.precision):
            for indices in _track(batches, title, len(features)):
                queue = [indices]
                while queue:
                    part = queue.pop(0)
                    size = math.ceil(len(indices) / parts)
                    if len(part) > size:  # memory ran out with a larger part
                        queue = [part[start : start + size] for start in range(0, len(part), size)] + queue
                        continue
                    try:
                        outputs = self._forward([features[n] for n in part])
                    except (MemoryError, RuntimeError) as error:
                        if not out_of_memory(error) or parts >= len(indices):
                            raise
                        outputs = None
                    if outputs is None:
                        free_memory()  # here, where the error with its references to tensors is gone
                        parts *= 2
                        say(f"out of memory: batches are evaluated in {parts} parts from here on")
                        queue.insert(0, part)
                        continue
                    for index, value in zip(part, outputs, strict=True):
                        values[index] = value
        return values

    def _forward(self, features: Sequence[Feature]) -> list[Floats]:
        """Returns the logits, or one embedding [H], of each feature of one batch."""
        kind, host = self.kind, self.host
        batch = to_device(kind.collate(features, host.tokenizer.pad_token_id))
        if self.adapters.head is not None:
            values = kind.split(host.forward(batch, self.adapters.head).float(), features)
        else:
            vectors = kind.embed(partial(host.hidden_states, batch), batch, host.tokenizer, self.encoding)
            values = list(vectors.cpu().numpy())
        # No score and no label can be based on NaN or infinity.
        if not all(np.isfinite(value).all() for value in values):
            raise AdapterError(
                "the model computes values that are not finite (NaN or infinity): its weights are damaged, "
                "or training diverged (lower --learning-rate), or they are too large for this precision (try "
                "--precision fp32)"
            )
        return values

    @staticmethod
    def load(
        run: Run, task: Task, files: BackboneFiles, encoding: Encoding, precision: str, language: Path | None
    ) -> Predictor:
        """Loads a run and activates it with the head that answers the task.

        Args:
            run: A trained run.
            task: The task to predict for.
            files: The run's backbone.
            encoding: Settings of the conversion to subwords.
            precision: "fp32" or "bf16".
            language: Folder of a language adapter that replaces the one from training, or None.
        """
        host = fresh_host(files)
        answering = head_task(run, task)
        adapters = restore(host, run.path, language, answering.name if answering else None)
        if not task.kind_spec.needs_head and adapters.head is not None:
            adapters = replace(adapters, head=None)
            host.activate(adapters, train=False)
        return Predictor(host, adapters, task, encoding, precision)


def in_portions(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yields the items in lists that fit in memory; a list is read when the one before has been used.

    Args:
        items: Items in any number.
        size: Function that returns the number of characters of an item.
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


def _track(batches: Iterable[list[int]], title: str, total: int) -> Iterator[list[int]]:
    """Yields the batches and shows the number of items that they covered."""
    count = 0
    with bar(title, total) as display:
        for batch in batches:
            yield batch
            count += len(batch)
            display.update(count, "")
