"""The processes of one launch (`accelerate launch`): all compute a part of every batch, one leads.

The leader alone prints, holds the job's lock, and writes; what it found out or decided, the others are told.
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
    """How many processes there are; 1 without a launch."""
    return int(accelerator().num_processes)


def leads() -> bool:
    """Whether this process is the leader."""
    return bool(accelerator().is_main_process)


def number() -> int:
    """Which one this is, from 0."""
    return int(accelerator().process_index)


def from_leader(call: Callable[[], T]) -> T:
    """What the call returns to the leader, who alone makes it."""
    if count() == 1:
        return call()
    found = [call() if leads() else None]
    broadcast_object_list(found)
    return found[0]  # type: ignore[return-value]


def share(examples: Sequence[T]) -> Sequence[T]:
    """This process's part of a batch; none where there are fewer examples than processes."""
    return examples[number() :: count()]


def sum_gradients(parameters: Collection[nn.Parameter], numbers: Sequence[float]) -> list[float]:
    """Adds up the gradients of all processes, in place, and each of some numbers, which it returns.

    A parameter that no process used stays without a gradient, as the head of a task whose turn it is not.
    """
    if count() == 1:
        return list(numbers)
    used = [float(each.grad is not None) for each in parameters]
    grads = [each.grad if each.grad is not None else torch.zeros_like(each) for each in parameters]
    extra = torch.tensor([*numbers, *used], device=grads[0].device)
    flat = torch.cat([extra, *(grad.float().flatten() for grad in grads)])
    torch.distributed.all_reduce(flat)
    sums, *parts = flat.split([len(extra), *(grad.numel() for grad in grads)])
    for each, users, part in zip(parameters, sums[len(numbers) :], parts, strict=True):
        each.grad = part.view_as(each).to(each.dtype) if users else None
    return [float(value) for value in sums[: len(numbers)]]
