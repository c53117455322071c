"""What a killed training needs to go on as if nothing had happened: one atomic safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterstilts.errors import StoreError

Parameters = Mapping[str, nn.Parameter]


@dataclass
class State:
    """Where training is.

    Attributes:
        step: optimizer steps done.
        best_score, best_step: on development data; None before the first evaluation.
        best_metrics: all metrics of the best step.
        worse: evaluations since the best one.
        best: the trainable parameters at `best_step`.
    """

    step: int = 0
    best_score: float | None = None
    best_step: int | None = None
    best_metrics: dict[str, Any] = field(default_factory=dict)
    worse: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)


def save(path: Path, state: State, parameters: Parameters, optimizer: torch.optim.Optimizer) -> None:
    """Writes parameters, optimizer moments, the best parameters so far and the position."""
    tensors = {f"param/{name}": value.detach() for name, value in parameters.items()}
    tensors |= {f"best/{name}": value for name, value in state.best.items()}
    for name, value in parameters.items():
        for moment, tensor in optimizer.state[value].items():
            tensors[f"{moment}/{name}"] = tensor
    numbers = {each.name: getattr(state, each.name) for each in fields(state) if each.name != "best"}
    contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
    partial = path.with_suffix(".partial")
    save_file(contiguous, partial, metadata={"state": json.dumps(numbers)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, parameters: Parameters, optimizer: torch.optim.Optimizer) -> State:
    """Restores what `save` wrote; a fresh state where there is no checkpoint.

    Raises:
        StoreError: the file is damaged or of another model.
    """
    if not path.exists():
        return State()
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            numbers = json.loads(file.metadata()["state"])
    except Exception as error:
        raise StoreError(f"{path} is damaged ({error}): delete it to start this run again") from error
    if {name[6:] for name in tensors if name.startswith("param/")} != set(parameters):
        raise StoreError(f"{path} belongs to another model: delete it to start this run again")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(tensors[f"param/{name}"])
            moments = {
                moment: tensors[f"{moment}/{name}"].to(value.device if moment != "step" else "cpu")
                for moment in ("step", "exp_avg", "exp_avg_sq")
                if f"{moment}/{name}" in tensors
            }
            if moments:
                optimizer.state[value] = moments
    best = {name[5:]: value for name, value in tensors.items() if name.startswith("best/")}
    return State(best=best, **numbers)
