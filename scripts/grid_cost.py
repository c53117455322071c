"""Computes the cost of a grid in floating-point operations and bytes, with adapters and with full fine-tuning.

Reads the jobs from `grid plan --json`. The assumptions are listed below and in docs/cost.md.

Usage: adapterstilts grid plan paper-xlmr-large --json | python scripts/grid_cost.py [FLOP/s]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from adapterstilts.grid.estimate import Estimator
from adapterstilts.grid.estimate import _row_count as row_count
from adapterstilts.grid.job_spec import JobSettings, JobSpec
from adapterstilts.tasks.multitask import split_name

# FLOP/s: 40 % of the dense bf16 peak of an H100 SXM, by NVIDIA's data sheet
SUSTAINED = 0.4 * 989e12
# Sequences of an example, and subwords of each sequence: XLM-R's tokenizer on up to 300 rows of a development file,
# or on SQuAD's paragraphs in XQuAD. Targets: mean over the available languages. Some are guesses, see below.
LENGTHS = {
    "mnli": (1, 44), "anli_plus": (1, 44), "qqp": (1, 32), "squad_v1": (1, 205), "squad_v2": (1, 205),
    "hellaswag": (4, 52), "ccg": (1, 27), "cosmosqa": (4, 118), "csqa": (5, 23),
    "xnli": (1, 47), "pawsx": (1, 66), "udpos": (1, 33), "panx": (1, 16), "xquad": (1, 232), "mlqa": (1, 215),
    "tydiqa": (1, 200), "bucc2018": (1, 30), "tatoeba": (1, 13),
}  # fmt: skip
GUESSED = ("anli_plus", "qqp", "ccg", "tydiqa", "bucc2018")
PerToken = Callable[[int], float]
# Reduction factor of `seq_bn`
REDUCTION = 16


@dataclass(frozen=True)
class Shape:
    """Size of a backbone; `parameters` includes the embeddings."""

    layers: int
    hidden: int
    parameters: float

    @property
    def body(self) -> int:
        """Parameters of the layers. The feed-forward size is four times the hidden size."""
        return 12 * self.layers * self.hidden**2

    @property
    def adapters(self) -> int:
        """Parameters of one adapter in each layer."""
        bottleneck = self.hidden // REDUCTION
        return self.layers * (2 * self.hidden * bottleneck + self.hidden + bottleneck)

    def attention(self, length: int) -> float:
        """Operations of one token's attention products, forward."""
        return 4 * self.layers * self.hidden * length

    def evaluated(self, length: int) -> float:
        """Operations of one token, forward."""
        return 2 * (self.body + self.adapters) + self.attention(length)

    def trained(self, length: int) -> float:
        """Operations of one token in adapter training. Frozen weights need no gradient of their own."""
        return 4 * self.body + 6 * self.adapters + 3 * self.attention(length)

    def tuned(self, length: int) -> float:
        """Operations of one token in full fine-tuning, forward and backward."""
        return 6 * self.body + 3 * self.attention(length)


SHAPES = {
    "me5-small": Shape(12, 384, 118e6),
    "mbert": Shape(12, 768, 178e6),
    "xlmr-base": Shape(12, 768, 278e6),
    "xlmr-large": Shape(24, 1024, 560e6),
}


@dataclass
class Cost:
    """Sums over jobs."""

    jobs: int = 0
    tokens: float = 0.0
    adapters: float = 0.0
    full: float = 0.0


def main() -> None:
    """Prints a table with a row for each type of job."""
    speed = float(sys.argv[1]) if len(sys.argv) > 1 else SUSTAINED
    costs: dict[str, Cost] = defaultdict(Cost)
    shape = SHAPES["me5-small"]
    trainings = 0
    for line in sys.stdin:
        job = read(json.loads(line))
        shape = SHAPES[job.settings.backbone]
        trainings += job.settings.hyperparameters is not None
        add(costs, job, shape)
    print(
        f"| part | jobs | 10⁹ tokens | EFLOP, adapters | hours at {speed / 1e12:.0f} TFLOP/s | EFLOP, full | hours |"
    )
    print("|---|---|---|---|---|---|---|")
    total = Cost(*(sum(getattr(cost, name) for cost in costs.values()) for name in Cost.__annotations__))
    for part, cost in (*costs.items(), ("all", total)):
        print(
            f"| {part} | {cost.jobs:,} | {cost.tokens / 1e9:.2f} | {cost.adapters / 1e18:,.1f} "
            f"| {cost.adapters / speed / 3600:,.1f} | {cost.full / 1e18:,.1f} | {cost.full / speed / 3600:,.1f} |"
        )
    print(
        f"\n{trainings} trainings: {trainings * shape.adapters * 4 / 1e9:.1f} GB of adapters "
        f"({shape.adapters * 4 / 1e6:.1f} MB each), {trainings * shape.parameters * 4 / 1e9:,.0f} GB of whole models "
        f"({shape.parameters * 4 / 1e9:.2f} GB each), in fp32"
    )


def read(job: dict) -> JobSpec:
    """Returns the job spec of a line of `grid plan --json`."""
    return JobSpec(
        job["task"], job["composition"] or "single", tuple(job["needs"]), JobSettings.model_validate(job["settings"]),
        job["seed"], job["language"] or "", job["split"] or "", job["digest"],
    )  # fmt: skip


def add(costs: dict[str, Cost], job: JobSpec, shape: Shape) -> None:
    """Adds a job and its evaluations on development data, with rows and steps as the plan counts them."""
    hyperparameters = job.settings.hyperparameters
    rows = row_count(job.task, job.split or "train", job.settings, {})
    sums = mean_length(job.task)
    costs[job.type].jobs += 1
    if job.language:
        count(costs[job.type], sums, rows, shape.evaluated, shape.evaluated)
    elif hyperparameters:
        examples = Estimator([], {}).examples(job)
        count(costs[job.type], sums, examples, shape.trained, shape.tuned)
        steps = examples / hyperparameters.batch_size
        times = ceil(steps / (hyperparameters.eval_every or ceil(rows / hyperparameters.batch_size)))
        dev_examples = times * min(hyperparameters.dev_rows, hyperparameters.holdout * rows)
        count(costs["development scores"], sums, dev_examples, shape.evaluated, shape.evaluated)


def count(cost: Cost, sums: tuple[float, int], examples: float, ours: PerToken, theirs: PerToken) -> None:
    """Adds the operations of a number of examples: with adapters, and with full fine-tuning."""
    tokens, length = sums
    cost.tokens += tokens * examples
    cost.adapters += tokens * examples * ours(length)
    cost.full += tokens * examples * theirs(length)


def mean_length(name: str) -> tuple[float, int]:
    """Returns the tokens of an example and of one of its sequences. Joint tasks are weighted by their rows."""
    settings = JobSettings(version="1", kind=None, backbone="")
    rows = {task: row_count(task, "train", settings, {}) for task in split_name(name)}
    total = sum(rows.values())
    tokens = sum(number * LENGTHS[task][0] * LENGTHS[task][1] for task, number in rows.items()) / total
    return tokens, round(sum(number * LENGTHS[task][1] for task, number in rows.items()) / total)


if __name__ == "__main__":
    main()
