"""What a grid costs in floating-point operations and bytes: with adapters, and by full fine-tuning.

Reads the jobs from `grid plan --json`; what is assumed stands below and in docs/cost.md.

Usage: adapterstilts grid plan paper-xlmr-large --json | python scripts/grid_cost.py [FLOP/s]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from adapterstilts.grid.estimate import Estimator, row_count
from adapterstilts.grid.job_spec import JobSettings, JobSpec
from adapterstilts.tasks.multitask import split_name

SUSTAINED = 0.4 * 989e12  # FLOP/s: 40 % of the dense bf16 peak of an H100 SXM, by NVIDIA's data sheet
# Sequences of an example and subwords of each. XLM-R's tokenizer on up to 300 rows of a development file, or of
# SQuAD's paragraphs in XQuAD; of targets the mean over the languages at hand. With (*) a guess.
LENGTHS = {
    "mnli": (1, 44), "anli_plus": (1, 44), "qqp": (1, 32), "squad_v1": (1, 205), "squad_v2": (1, 205),
    "hellaswag": (4, 52), "ccg": (1, 27), "cosmosqa": (4, 118), "csqa": (5, 23),
    "xnli": (1, 47), "pawsx": (1, 66), "udpos": (1, 33), "panx": (1, 16), "xquad": (1, 232), "mlqa": (1, 215),
    "tydiqa": (1, 200), "bucc2018": (1, 30), "tatoeba": (1, 13),
}  # fmt: skip
GUESSED = ("anli_plus", "qqp", "ccg", "tydiqa", "bucc2018")  # (*)
PerToken = Callable[[int], float]
REDUCTION = 16  # of `seq_bn`


@dataclass(frozen=True)
class Shape:
    """A backbone: layers, hidden size, and parameters with the embeddings."""

    layers: int
    hidden: int
    parameters: float

    @property
    def body(self) -> int:
        """Parameters of the layers, feed-forward size four times the hidden size."""
        return 12 * self.layers * self.hidden**2

    @property
    def adapters(self) -> int:
        """Parameters of one adapter in each layer."""
        bottleneck = self.hidden // REDUCTION
        return self.layers * (2 * self.hidden * bottleneck + self.hidden + bottleneck)

    def attention(self, length: int) -> float:
        """Operations of one token's products with the others, forward."""
        return 4 * self.layers * self.hidden * length

    def evaluated(self, length: int) -> float:
        """Operations of one token, forward."""
        return 2 * (self.body + self.adapters) + self.attention(length)

    def trained(self, length: int) -> float:
        """Operations of one token, forward and backward through activations; weights are frozen."""
        return 4 * self.body + 6 * self.adapters + 3 * self.attention(length)

    def tuned(self, length: int) -> float:
        """Operations of one token where all weights of the layers train."""
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
    speed = float(sys.argv[1]) if len(sys.argv) > 1 else SUSTAINED
    costs: dict[str, Cost] = defaultdict(Cost)
    shape = SHAPES["me5-small"]
    trainings = 0
    for line in sys.stdin:
        request = read(json.loads(line))
        shape = SHAPES[request.settings.backbone]
        trainings += request.settings.hyperparameters is not None
        add(costs, request, shape)
    print(
        f"| part | jobs | 10⁹ tokens | EFLOP, adapters | hours at {speed / 1e12:.0f} TFLOP/s | EFLOP, full | hours |"
    )
    print("|---|---|---|---|---|---|---|")
    whole = Cost(*(sum(getattr(each, name) for each in costs.values()) for name in Cost.__annotations__))
    for part, cost in (*costs.items(), ("all", whole)):
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
    return JobSpec(
        job["task"], job["composition"] or "single", tuple(job["needs"]), JobSettings.model_validate(job["settings"]),
        job["seed"], job["language"] or "", job["split"] or "", job["digest"],
    )  # fmt: skip


def add(costs: dict[str, Cost], request: JobSpec, shape: Shape) -> None:
    """Adds one job, and its evaluations on development data, as the plan counts rows and steps."""
    hyperparameters = request.settings.hyperparameters
    rows = row_count(request.task, request.split or "train", request.settings, {})
    sums = mean_length(request.task)
    costs[request.type].jobs += 1
    if request.language:
        count(costs[request.type], sums, rows, shape.evaluated, shape.evaluated)
    elif hyperparameters:
        examples = Estimator([], {}).examples(request)
        count(costs[request.type], sums, examples, shape.trained, shape.tuned)
        steps = examples / hyperparameters.batch_size
        times = ceil(steps / (hyperparameters.eval_every or ceil(rows / hyperparameters.batch_size)))
        held = times * min(hyperparameters.dev_rows, hyperparameters.holdout * rows)
        count(costs["development scores"], sums, held, shape.evaluated, shape.evaluated)


def count(cost: Cost, sums: tuple[float, int], examples: float, ours: PerToken, theirs: PerToken) -> None:
    tokens, length = sums
    cost.tokens += tokens * examples
    cost.adapters += tokens * examples * ours(length)
    cost.full += tokens * examples * theirs(length)


def mean_length(name: str) -> tuple[float, int]:
    """Tokens of an example, and of one of its sequences; of several tasks weighted by their rows."""
    told = JobSettings(version="1", kind=None, backbone="")
    names = split_name(name)
    rows = [row_count(each, "train", told, {}) for each in names]
    tokens = sum(n * LENGTHS[each][0] * LENGTHS[each][1] for n, each in zip(rows, names, strict=True)) / sum(
        rows
    )
    return tokens, round(sum(n * LENGTHS[each][1] for n, each in zip(rows, names, strict=True)) / sum(rows))


if __name__ == "__main__":
    main()
