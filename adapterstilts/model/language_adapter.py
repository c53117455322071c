"""Language adapters (MAD-X, Pfeiffer et al. 2020): their folders and digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

from adapterstilts.errors import AdapterError

WEIGHTS = "*.safetensors"


def check_folder(folder: Path, name: str) -> Path:
    """Returns the folder of a language adapter after checking that it has safetensors weights.

    Args:
        folder: Folder of the adapter.
        name: Reference that the user passed, for messages.

    Raises:
        AdapterError: It has none.
    """
    if not list(folder.glob(WEIGHTS)):
        raise AdapterError(f"{name} holds no safetensors weights, and no other format is loaded")
    return folder


def adapter_digest(folder: Path | None) -> str | None:
    """Returns the SHA-256 (hex) of an adapter's weights and configuration; None for no adapter."""
    if folder is None:
        return None
    # Part of a job's key: the bytes that are hashed must stay the same.
    digest = hashlib.sha256()
    for path in sorted([*folder.glob(WEIGHTS), *folder.glob("adapter_config.json")]):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
