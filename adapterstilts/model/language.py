"""Language adapters (MAD-X, Pfeiffer et al. 2020): found in a folder or on the Hub, one per language."""

from __future__ import annotations

import hashlib
from pathlib import Path

from adapterstilts.errors import AdapterError

WEIGHTS = "*.safetensors"


def language_adapter(reference: str | None, language: str) -> Path | None:
    """The folder of the language adapter that `reference` names for a language.

    Args:
        reference: a folder or a Hub id (with `@revision` if wanted); `{lang}` in it is replaced.

    Raises:
        AdapterError: it is not there, or holds no safetensors weights.
    """
    if reference is None:
        return None
    name = reference.replace("{lang}", language)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _download(name)
    if not list(folder.glob(WEIGHTS)):
        raise AdapterError(f"{name} holds no safetensors weights: only those are loaded")
    return folder


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=["*.json", WEIGHTS]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise AdapterError(
            f"language adapter '{name}' is neither a folder nor an adapter that the Hub gives "
            f"({type(error).__name__})"
        ) from error


def digest_of(folder: Path | None) -> str | None:
    """SHA-256 over an adapter's weights and configuration; None for no adapter."""
    if folder is None:
        return None
    found = hashlib.sha256()
    for path in sorted([*folder.glob(WEIGHTS), *folder.glob("adapter_config.json")]):
        found.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
