"""Training hyperparameters: one frozen value with a sensible default for each kind of task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from adapterstilts.tasks.spec import KindName
from adapterstilts.values import Value


class Recipe(Value):
    """How an adapter is trained; every field is part of the result's key."""

    epochs: float = Field(3.0, gt=0, description="Passes over the training data.")
    max_steps: int | None = Field(None, gt=0, description="End after this many optimizer steps.")
    batch_size: int = Field(32, gt=0, description="Examples of one optimizer step.")
    accumulation: int = Field(1, gt=0, description="Forward passes that one batch is divided over.")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW, at its peak.")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW.")
    warmup: float = Field(
        0.06,
        ge=0,
        lt=1,
        description="Share of the steps in which the rate rises linearly; then it falls to 0.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    eval_every: int | None = Field(
        None,
        gt=0,
        description="Optimizer steps between evaluations on English development data (default: an epoch).",
    )
    patience: int | None = Field(
        None, gt=0, description="Stop after this many evaluations without a better score (default: never)."
    )
    holdout: float = Field(
        0.05,
        ge=0,
        lt=0.5,
        description="Share of the training rows held out where no English development data is at hand; "
        "0 trains on all and keeps the last step.",
    )
    dev_rows: int = Field(1000, gt=0, description="Development rows at the most.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto is bf16 where the device computes in it, else fp32."
    )
    backbone_dropout: bool = Field(False, description="Keep dropout in the frozen encoder; slower on a CPU.")


KIND_DEFAULTS: dict[KindName, dict[str, Any]] = {
    "sequence": {"epochs": 3.0},
    "tagging": {"epochs": 2.0},
    "span": {"epochs": 2.0, "batch_size": 16},
    "choice": {"epochs": 3.0, "batch_size": 16},
    "retrieval": {},
}


def recipe_for(kind: KindName, settings: Mapping[str, Any]) -> Recipe:
    """The kind's defaults with `settings` over them; an unknown key names the nearest one."""
    return Recipe.parse({**KIND_DEFAULTS[kind], **settings}, "recipe")
