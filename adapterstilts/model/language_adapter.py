"""Language adapters (MAD-X, Pfeiffer et al. 2020): their folders and digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

WEIGHTS = "*.safetensors"


def adapter_digest(folder: Path | None) -> str | None:
    """Returns the SHA-256 (hex) of an adapter's weights and configuration; None for no adapter."""
    if folder is None:
        return None
    # Part of a job's key: the bytes that are hashed must stay the same.
    digest = hashlib.sha256()
    for path in sorted([*folder.glob(WEIGHTS), *folder.glob("adapter_config.json")]):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
