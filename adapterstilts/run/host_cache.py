"""Keeps the last backbone of this process loaded."""

from __future__ import annotations

from functools import lru_cache

from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.host import Host
from adapterstilts.run.device import accelerator


# One backbone: a second large encoder would not fit on most GPUs, and jobs of one backbone follow each other.
@lru_cache(maxsize=1)
def cached_host(files: BackboneFiles, dropout: bool) -> Host:
    """Returns the backbone on the device, with the adapters that the last job left in it."""
    host = Host(files, dropout=dropout)
    host.model.to(accelerator().device)
    return host


def fresh_host(files: BackboneFiles, dropout: bool = False) -> Host:
    """Returns the backbone on the device, without any adapter."""
    host = cached_host(files, dropout)
    host.reset()
    return host
