"""The processes of one launch (`accelerate launch`): each computes a part of every batch, one is the leader.

Only the leader prints, holds the job's lock and writes. The others receive its results and decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from adapterstilts.run.device import accelerator

T = TypeVar("T")


def count() -> int:
    """Returns the number of processes; 1 without a launch."""
    return int(accelerator().num_processes)


def leads() -> bool:
    """Whether this process is the leader."""
    return bool(accelerator().is_main_process)


def number() -> int:
    """Returns the number of this process, from 0."""
    return int(accelerator().process_index)


def from_leader(call: Callable[[], T]) -> T:
    """Returns the leader's result of a call, which only the leader makes."""
    if count() == 1:
        return call()
    result = [call() if leads() else None]
    broadcast_object_list(result)
    return result[0]  # type: ignore[return-value]


def share(examples: Sequence[T]) -> Sequence[T]:
    """Returns this process's part of a batch; it is empty if there are fewer examples than processes."""
    return examples[number() :: count()]


def sum_gradients(parameters: Collection[nn.Parameter], numbers: Sequence[float]) -> list[float]:
    """Sums the gradients of all processes in place, and returns the sums of some numbers.

    A parameter that no process used keeps no gradient, such as the head of another task.
    """
    if count() == 1:
        return list(numbers)
    used = [float(parameter.grad is not None) for parameter in parameters]
    gradients = [
        parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        for parameter in parameters
    ]
    extra = torch.tensor([*numbers, *used], device=gradients[0].device)
    # One reduction in fp32 for everything: many small ones would cost a round trip each.
    flat = torch.cat([extra, *(gradient.float().flatten() for gradient in gradients)])
    torch.distributed.all_reduce(flat)
    sums, *parts = flat.split([len(extra), *(gradient.numel() for gradient in gradients)])
    for parameter, users, part in zip(parameters, sums[len(numbers) :], parts, strict=True):
        # Without a gradient AdamW skips the parameter; a zero gradient would still decay it.
        parameter.grad = part.view_as(parameter).to(parameter.dtype) if users else None
    return [float(value) for value in sums[: len(numbers)]]
