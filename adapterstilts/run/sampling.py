"""What one training goes through: a stream of batches for each task, and which task's turn it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapterstilts.data.rows import Row
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.kinds.base import Feature
from adapterstilts.run.batches import epoch_batches
from adapterstilts.run.predict import Model

TURNS = 29  # sets the draw of the tasks apart from the other uses of the seed


@dataclass(frozen=True)
class CheckpointPolicy:
    """How often a checkpoint is written; it does not change the result.

    Attributes:
        minutes: between checkpoints; a checkpoint is also written when training is interrupted.
        steps: optimizer steps between checkpoints, or None.
    """

    minutes: float = 5.0
    steps: int | None = None


@dataclass(frozen=True)
class Stream:
    """The training examples of one task, in seeded batches without end.

    Attributes:
        model: active with the task's own head.
        features: of the training rows.
        dev: English development rows; may be empty.
        vary: gives a batch the form that it has at one step, from the seed and the step (masks).
    """

    model: Model
    features: Sequence[Feature]
    dev: Sequence[Row]
    vary: Callable[[Sequence[Feature], Sequence[int]], Sequence[Feature]] | None = None

    def batch(self, indices: Sequence[int], seed: Sequence[int]) -> Sequence[Feature]:
        """The features of a batch."""
        chosen = [self.features[n] for n in indices]
        return self.vary(chosen, seed) if self.vary else chosen


@dataclass(frozen=True)
class Step:
    """One optimizer step: its number from 0, whose turn it is, and the indices of its batch."""

    number: int
    stream: Stream
    indices: list[int]


@dataclass(frozen=True)
class TrainingSchedule:
    """All that one training needs: data, hyperparameters, seed, and its folder.

    Attributes:
        streams: one for each task; every batch comes from one of them.
        mixed: whether the last stream is mixed-in text: it has `mlm_ratio` batches for each one
            of the others, and its development score does not count.
        folder: working folder that outlives a kill; holds the checkpoint and `out/log.jsonl`.
    """

    streams: Sequence[Stream]
    hyperparameters: Hyperparameters
    seed: int
    folder: Path
    saving: CheckpointPolicy = CheckpointPolicy()
    mixed: bool = False

    @property
    def tasks(self) -> Sequence[Stream]:
        """The streams without the text that is mixed in."""
        return self.streams[:-1] if self.mixed else self.streams

    @property
    def ratio(self) -> float:
        """Batches of text for each batch of the tasks."""
        return self.hyperparameters.mlm_ratio or 0.0 if self.mixed else 0.0

    @property
    def sizes(self) -> list[int]:
        """Examples of each task, as far as they count."""
        return [
            min(len(each.features), self.hyperparameters.task_cap or len(each.features))
            for each in self.tasks
        ]

    @property
    def shares(self) -> list[float]:
        """How often it is each stream's turn: for tasks, size to the power of 1 / temperature."""
        powers = [size ** (1 / (self.hyperparameters.temperature or 1.0)) for size in self.sizes]
        shares = [power / sum(powers) / (1 + self.ratio) for power in powers]
        return [*shares, self.ratio / (1 + self.ratio)] if self.mixed else shares

    @property
    def per_epoch(self) -> int:
        """Optimizer steps of one pass over the data (of several tasks: as many as such passes take)."""
        batches = sum(math.ceil(size / self.hyperparameters.batch_size) for size in self.sizes)
        return math.ceil(batches * (1 + self.ratio))

    @property
    def total(self) -> int:
        """Optimizer steps in all."""
        steps = max(1, math.ceil(self.hyperparameters.epochs * self.per_epoch))
        return min(steps, self.hyperparameters.max_steps or steps)

    def turns(self) -> list[int]:
        """Which stream each step takes: drawn by `shares`, a function of the seed and the step."""
        if len(self.streams) == 1:
            return [0] * self.total
        random = np.random.default_rng([self.seed, TURNS])
        turns: list[int] = random.choice(len(self.streams), size=self.total, p=self.shares).tolist()
        return turns

    def steps(self, start: int) -> Iterator[Step]:
        """The remaining steps; each stream goes through its own epochs."""
        turns, size = self.turns(), self.hyperparameters.batch_size
        done = [turns[:start].count(n) for n in range(len(self.streams))]
        epochs: dict[int, tuple[int, list[list[int]]]] = {}
        for number in range(start, self.total):
            turn = turns[number]
            stream = self.streams[turn]
            epoch, position = divmod(done[turn], math.ceil(len(stream.features) / size))
            if turn not in epochs or epochs[turn][0] != epoch:
                lengths = [feature.length for feature in stream.features]
                epochs[turn] = epoch, epoch_batches(lengths, size, self.seed, epoch)
            yield Step(number, stream, epochs[turn][1][position])
            done[turn] += 1
