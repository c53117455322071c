"""Training hyperparameters: one frozen value with a sensible default for each kind of task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from adapterstilts.errors import ConfigError
from adapterstilts.kinds.spec import SPECS
from adapterstilts.values import Numbers

MOST_EPOCHS = 10_000
MOST_ROWS = 10**9  # in a batch, as development data, or as the cap of a task
MOST_STEPS = 10**9


class Hyperparameters(Numbers):
    """Settings of a training; every field is part of the result's key.

    The largest values are far beyond useful ones: they keep sums and products of settings in range.
    """

    epochs: float = Field(3.0, gt=0, le=MOST_EPOCHS, description="Passes over the training data.")
    max_steps: int | None = Field(
        None, gt=0, le=MOST_STEPS, description="Stop after this many optimizer steps."
    )
    batch_size: int = Field(32, gt=0, le=MOST_ROWS, description="Examples per optimizer step.")
    accumulation: int = Field(1, gt=0, le=MOST_ROWS, description="Forward passes per batch, to save memory.")
    learning_rate: float = Field(1e-3, gt=0, le=1000, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.0, ge=0, le=1000, description="Weight decay of AdamW.")
    warmup: float = Field(
        0.06,
        ge=0,
        lt=1,
        description="Share of the steps in which the learning rate rises linearly; then it falls to 0.",
    )
    max_grad_norm: float = Field(1.0, gt=0, le=1e9, description="Gradients are clipped to this norm.")
    eval_every: int | None = Field(
        None,
        gt=0,
        le=MOST_STEPS,
        description="Optimizer steps between evaluations on English development data (default: an epoch).",
    )
    patience: int | None = Field(
        None,
        gt=0,
        le=MOST_STEPS,
        description="Stop after this many evaluations without a better score (default: never).",
    )
    holdout: float = Field(
        0.05,
        ge=0,
        lt=0.5,
        description="Share of the training rows held out if no English development data is found; "
        "0 trains on all rows and keeps the last step.",
    )
    dev_rows: int = Field(1000, gt=0, le=MOST_ROWS, description="Maximum number of development rows.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto is bf16 if the device supports it, otherwise fp32."
    )
    backbone_dropout: bool = Field(False, description="Keep dropout in the frozen encoder; slower on a CPU.")
    task_cap: int | None = Field(
        None,
        gt=0,
        le=MOST_ROWS,
        description="Multi-task: cap on a task's size when sampling weights are computed (default: 100000).",
    )
    temperature: float | None = Field(
        None,
        ge=0.05,  # sizes to the power of 20
        le=1000,
        description="Multi-task: a task is sampled in proportion to its size to the power of 1/temperature; "
        "1 is proportional, larger values are more even (default: 2).",
    )
    mlm_ratio: float | None = Field(
        None, gt=0, le=1000, description="Batches of masked text per batch of the tasks (default: 0.5)."
    )

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Jobs of one task have no multi-task fields, so adding such a field changes no key of theirs.
        fields = handler(self).items()
        return {name: value for name, value in fields if value is not None or name not in MULTITASK_FIELDS}


MULTITASK_FIELDS = ("task_cap", "temperature", "mlm_ratio")
MULTITASK_DEFAULTS: dict[str, Any] = {
    "epochs": 1.0,
    "batch_size": 16,
    "task_cap": 100_000,
    "temperature": 2.0,
}
MIXED_DEFAULTS: dict[str, Any] = {"mlm_ratio": 0.5}  # for plain text that is mixed into tasks


def hyperparameters_for(kinds: Sequence[str], settings: Mapping[str, Any]) -> Hyperparameters:
    """Returns the default hyperparameters for kinds of tasks, updated with `settings`.

    Args:
        kinds: Kinds of the tasks that are trained together; plain text beside other tasks is mixed in.

    Raises:
        ConfigError: An unknown key (the message names the nearest one), or one without effect on these tasks.
    """
    tasks = [kind for kind in kinds if not SPECS[kind].plain_text] or kinds
    mixed = len(tasks) < len(kinds)
    defaults = MULTITASK_DEFAULTS if len(tasks) > 1 else SPECS[tasks[0]].hyperparameters
    hyperparameters = Hyperparameters.parse(
        {**defaults, **(MIXED_DEFAULTS if mixed else {}), **settings}, "hyperparameters"
    )
    idle = [] if len(tasks) > 1 else ["task_cap", "temperature"]
    # A setting without effect would change the key and nothing else.
    for name in idle if mixed else [*idle, "mlm_ratio"]:
        if getattr(hyperparameters, name) is not None:
            condition = "with --mlm" if name == "mlm_ratio" else "when several tasks are trained together"
            raise ConfigError(f"hyperparameters: {name} has an effect only {condition}")
    return hyperparameters
