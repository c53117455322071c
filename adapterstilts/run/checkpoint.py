"""Checkpoints of unfinished trainings: one atomic safetensors file with everything that resuming needs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterstilts.errors import StoreError

Parameters = Mapping[str, nn.Parameter]
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of each parameter
# Types of the numbers in a checkpoint, which may be damaged or from another version.
NUMBERS: dict[str, tuple[type, ...]] = {
    "step": (int,),
    "best_score": (float, int, type(None)),
    "best_step": (int, type(None)),
    "best_metrics": (dict,),
    "worse": (int,),
}


@dataclass
class TrainingState:
    """The progress of a training.

    Attributes:
        step: Number of optimizer steps made.
        best_score, best_step: Best development score and its step; None before the first evaluation.
        best_metrics: All metrics of the best step.
        worse: Number of evaluations since the best one.
        best: Trainable parameters at `best_step`.
    """

    step: int = 0
    best_score: float | None = None
    best_step: int | None = None
    best_metrics: dict[str, Any] = field(default_factory=dict)
    worse: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)


def save(path: Path, state: TrainingState, parameters: Parameters, optimizer: torch.optim.Optimizer) -> None:
    """Writes parameters, optimizer moments, the best parameters so far and the position."""
    tensors = {f"param/{name}": value.detach() for name, value in parameters.items()}
    tensors |= {f"best/{name}": value for name, value in state.best.items()}
    for name, value in parameters.items():
        for moment, tensor in optimizer.state[value].items():
            tensors[f"{moment}/{name}"] = tensor
    numbers = json.dumps({name: getattr(state, name) for name in NUMBERS})
    contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
    # Written under another name, flushed and renamed: a kill leaves the earlier checkpoint intact.
    partial = path.with_suffix(".partial")
    save_file(contiguous, partial, metadata={"state": numbers, "sha256": _sha256(numbers, contiguous)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, parameters: Parameters, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Restores what `save` wrote; a fresh state where there is no checkpoint.

    The whole file is checked before anything is restored, so that a training that starts again has its
    initial parameters.

    Raises:
        StoreError: The file is damaged or belongs to another model; the caller adds the file and the remedy.
    """
    if not path.exists():
        return TrainingState()
    try:
        tensors, numbers = _read(path)
    except StoreError:
        raise
    except Exception as error:  # safetensors has an exception type for some of its errors only
        raise StoreError(f"{type(error).__name__}: {error}"[:200]) from None
    expected = {f"param/{name}": value.shape for name, value in parameters.items()}
    if {name: value.shape for name, value in tensors.items() if name.startswith("param/")} != expected:
        raise StoreError("it belongs to another model")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(tensors[f"param/{name}"])
            moments = {
                moment: tensors[f"{moment}/{name}"].to(value.device if moment != "step" else "cpu")
                for moment in MOMENTS
                if f"{moment}/{name}" in tensors
            }
            if moments:
                optimizer.state[value] = moments
    best = {name[5:]: value for name, value in tensors.items() if name.startswith("best/")}
    return TrainingState(best=best, **numbers)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the numbers of a checkpoint, verified against their checksum."""
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
    if _sha256(metadata["state"], tensors) != metadata["sha256"]:
        raise StoreError("its checksum does not match its content")
    numbers = json.loads(metadata["state"])
    wrong = [name for name, types in NUMBERS.items() if not isinstance(numbers.get(name), types)]
    if wrong or numbers.keys() != NUMBERS.keys():
        raise StoreError(f"its training state is invalid ({', '.join(wrong) or 'unexpected fields'})")
    return tensors, numbers


def _sha256(numbers: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of a checkpoint's content; safetensors itself has no checksum."""
    digest = hashlib.sha256(numbers.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
