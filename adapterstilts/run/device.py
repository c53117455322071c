"""The device of the tensors and the precision of the computation."""

from __future__ import annotations

import contextlib
import gc
import os
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from adapterstilts.errors import ConfigError, unknown

CPU_BF16 = "ADAPTERSTILTS_CPU_BF16"  # "on" or "off" in the environment: overrides what the CPU reports
MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


@cache
def accelerator() -> Accelerator:
    """Returns the accelerator of this process; a second one would share its global state."""
    # The leader of a launch may evaluate, or wait for a job's lock, while the other processes wait for it.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(mixed_precision="no", kwargs_handlers=[patience])  # precision is a hyperparameter


def computes_bf16(device: torch.device) -> bool:
    """Whether precision "auto" uses bf16 on this device: where its instructions are missing, fp32 is faster.

    For a CPU, `ADAPTERSTILTS_CPU_BF16` overrides the answer, so that machines with different CPUs can agree.

    Raises:
        ConfigError: The variable is neither "on" nor "off".
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        override = os.environ.get(CPU_BF16)
        if override:
            if override not in ("on", "off"):
                raise ConfigError(f'{CPU_BF16} is "{override}": set it to "on" or "off", or unset it')
            return override == "on"
        flags = torch.cpu.get_capabilities()
        return bool(flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"))
    return False


def resolve_precision(precision: str) -> str:
    """Returns the precision; "auto" becomes bf16 if this device computes in it, else fp32.

    Raises:
        ConfigError: An unknown precision, or bf16 on a device that does not support it.
    """
    if precision not in ("auto", "bf16", "fp32"):
        raise unknown("precision", precision, ("auto", "bf16", "fp32"))
    device = accelerator().device
    if precision == "auto":
        return "bf16" if computes_bf16(device) else "fp32"
    if precision == "bf16":
        if device.type == "mps":
            raise ConfigError("precision bf16 is not available on this device: use fp32 or auto")
        return "bf16"
    return "fp32"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device or the machine is out of memory."""
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in MEMORY)


def free_memory() -> None:
    """Frees memory that nothing refers to."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def autocast(precision: str) -> AbstractContextManager[object]:
    """Returns autocast on the current device if `precision` is "bf16", else an empty context."""
    if precision != "bf16":
        return contextlib.nullcontext()
    context: AbstractContextManager[object] = torch.autocast(accelerator().device.type, dtype=torch.bfloat16)
    return context
