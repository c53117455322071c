"""Language adapters (MAD-X, Pfeiffer et al. 2020): their folders, and a digest of one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from adapterstilts.errors import AdapterError

WEIGHTS = "*.safetensors"


def check_folder(folder: Path, name: str) -> Path:
    """The folder of a language adapter, if it has weights that are loaded.

    Args:
        name: what it was asked for by, for the message.

    Raises:
        AdapterError: it holds no safetensors weights.
    """
    if not list(folder.glob(WEIGHTS)):
        raise AdapterError(f"{name} holds no safetensors weights: only those are loaded")
    return folder


def digest_of(folder: Path | None) -> str | None:
    """SHA-256 over an adapter's weights and configuration; None for no adapter."""
    if folder is None:
        return None
    found = hashlib.sha256()
    for path in sorted([*folder.glob(WEIGHTS), *folder.glob("adapter_config.json")]):
        found.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
