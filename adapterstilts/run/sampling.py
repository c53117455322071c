"""The schedule of one training: its batches, the task of each step, and the interval of checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from adapterstilts.run.predictor import Predictor
from adapterstilts.run.training_data import TaskData

BUCKET = 50  # batches that are shuffled together before sorting by length

# Separates the draw of the tasks from the other uses of the seed.
TURNS = 29


@dataclass(frozen=True)
class CheckpointPolicy:
    """The interval between checkpoints; it does not change the result.

    Attributes:
        minutes: Minutes between checkpoints. An interrupted training also writes one.
        steps: Optimizer steps between checkpoints, or None.
    """

    minutes: float = 5.0
    steps: int | None = None


@dataclass(frozen=True)
class TrainingSchedule:
    """Everything that the training loop needs.

    Attributes:
        host: The backbone with the adapters, fusion and heads that train.
        adapters: The active adapters.
        data: Encoded data of each task. Every batch comes from one task.
        hyperparameters: Training hyperparameters, with `precision` resolved.
        seed: Seed of data order, dropout and masks.
        folder: Working folder that survives a kill: the checkpoint and `out/log.jsonl`.
        policy: Interval between checkpoints.
        mixed: Whether the last entry of `data` is mixed-in text. It gets `mlm_ratio` batches for each batch
            of the tasks, and its development score does not count.
    """

    host: Host
    adapters: ActiveAdapters
    data: Sequence[TaskData]
    hyperparameters: Hyperparameters
    seed: int
    folder: Path
    policy: CheckpointPolicy = CheckpointPolicy()
    mixed: bool = False

    @property
    def tasks(self) -> Sequence[TaskData]:
        """The data without mixed-in text."""
        return self.data[:-1] if self.mixed else self.data

    @property
    def title(self) -> str:
        """Names of the tasks, for messages."""
        return " + ".join(data.task.name for data in self.data)

    @property
    def text_ratio(self) -> float:
        """Batches of mixed-in text for each batch of the tasks."""
        return self.hyperparameters.mlm_ratio or 0.0 if self.mixed else 0.0

    @property
    def sizes(self) -> list[int]:
        """Number of examples of each task, capped by `task_cap`."""
        cap = self.hyperparameters.task_cap
        return [min(len(data.features), cap or len(data.features)) for data in self.tasks]

    @property
    def shares(self) -> list[float]:
        """Share of the steps of each entry of `data`: for tasks, size to the power of 1 / temperature."""
        powers = [size ** (1 / (self.hyperparameters.temperature or 1.0)) for size in self.sizes]
        shares = [power / sum(powers) / (1 + self.text_ratio) for power in powers]
        return [*shares, self.text_ratio / (1 + self.text_ratio)] if self.mixed else shares

    @property
    def per_epoch(self) -> int:
        """Optimizer steps per epoch: one pass over the data of all tasks."""
        batches = sum(math.ceil(size / self.hyperparameters.batch_size) for size in self.sizes)
        return math.ceil(batches * (1 + self.text_ratio))

    @property
    def total(self) -> int:
        """Total number of optimizer steps."""
        steps = max(1, math.ceil(self.hyperparameters.epochs * self.per_epoch))
        return min(steps, self.hyperparameters.max_steps or steps)

    def predictor(self, data: TaskData) -> Predictor:
        """Returns the model with the head of one task, for development scores."""
        adapters = replace(self.adapters, head=data.task.name)
        return Predictor(self.host, adapters, data.task, data.encoding, self.hyperparameters.precision)

    def turns(self) -> list[int]:
        """Returns the index into `data` for each step, drawn by `shares` from the seed."""
        if len(self.data) == 1:
            return [0] * self.total
        random = np.random.default_rng([self.seed, TURNS])
        turns: list[int] = random.choice(len(self.data), size=self.total, p=self.shares).tolist()
        return turns

    def steps(self, start: int) -> Iterator[tuple[int, TaskData, list[int]]]:
        """Yields the remaining steps: number (from 0), data of the task, and indices of the batch.

        Each task has its own epochs. A step depends on the seed and its number only, so that a resumed
        training continues with the same batches.

        Args:
            start: Number of the first step.
        """
        turns, size = self.turns(), self.hyperparameters.batch_size
        used = [turns[:start].count(n) for n in range(len(self.data))]
        epochs: dict[int, tuple[int, list[list[int]]]] = {}
        for number in range(start, self.total):
            turn = turns[number]
            data = self.data[turn]
            epoch, position = divmod(used[turn], math.ceil(len(data.features) / size))
            if turn not in epochs or epochs[turn][0] != epoch:
                lengths = [feature.length for feature in data.features]
                epochs[turn] = epoch, _epoch_batches(lengths, size, self.seed, epoch)
            yield number, data, epochs[turn][1][position]
            used[turn] += 1


def _epoch_batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Returns every index once, in batches of `size` with similar lengths, batches in random order.

    The order is a function of `(seed, epoch)` alone, so a position in it survives a restart.

    Args:
        lengths: Number of subwords of each feature.
        size: Examples per batch.
        seed: Training seed.
        epoch: Number of the epoch.
    """
    # A function of seed and epoch only: a resumed training has the same batches.
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    sizes = np.asarray(lengths)
    batches: list[list[int]] = []
    for start in range(0, len(order), size * BUCKET):
        # Sorting only within a bucket keeps the batches of an epoch random.
        pool = order[start : start + size * BUCKET]
        pool = pool[np.argsort(-sizes[pool], kind="stable")]
        batches += [pool[n : n + size].tolist() for n in range(0, len(pool), size)]
    return [batches[n] for n in random.permutation(len(batches))]
