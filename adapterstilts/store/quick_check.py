"""Whether a run is as it was published, told from sizes and times, and checksums of small files alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterstilts.errors import DamagedError, StoreError
from adapterstilts.store.files import MANIFEST, METRICS, read_small, sha256, stats_in
from adapterstilts.store.metrics import json_object, problem_of_metrics


def intact(folder: str, manifest: str, seal: str) -> bool:
    """Whether a run's folder is as it was published, as far as sizes and times show it.

    Args:
        manifest: SHA-256 (hex) of its manifest.
        seal: see `seal_of`; while it holds, nothing is read. "" where there is none.
    """
    try:
        found = stats_in(folder)
        if seal and seal == seal_of(found):
            return True
        files = _files(Path(folder), manifest)
        published = found.pop(MANIFEST).st_mtime_ns
        if found.keys() != files.keys():
            return False
        return all(
            found[name].st_size == entry["size"]
            and (found[name].st_mtime_ns <= published or sha256(Path(folder, name)) == entry["sha256"])
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, StoreError):
        return False


def seal_of(found: Mapping[str, os.stat_result]) -> str:
    """A digest of files' names, sizes and times, which stays as long as nothing was written to them."""
    told = "".join([f"{name} {info.st_size} {info.st_mtime_ns}\n" for name, info in found.items()])
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def metrics_of(folder: Path, manifest: str) -> dict[str, Any]:
    """The metrics of a run, held against their checksum; nothing else of the run is looked at.

    Args:
        manifest: SHA-256 (hex) of its manifest.

    Raises:
        DamagedError: the metrics or the manifest are gone or changed.
    """
    try:
        text = read_small(f"{folder}/{METRICS}")
        if hashlib.sha256(text).hexdigest() == _files(folder, manifest)[METRICS]["sha256"]:
            metrics = json_object(text, METRICS)
            if problem := problem_of_metrics(metrics):
                raise DamagedError(f"run {folder.name} is damaged: {problem}", folder.name)
            return metrics
    except DamagedError:
        raise
    except (OSError, ValueError, KeyError, StoreError):
        pass
    raise DamagedError(f"run {folder.name} is damaged: {METRICS} is not as it was published", folder.name)


def _files(folder: Path, manifest: str) -> dict[str, dict[str, Any]]:
    """The files that a manifest names; ValueError where it is another manifest."""
    text = read_small(f"{folder}/{MANIFEST}")
    if hashlib.sha256(text).hexdigest() != manifest:
        raise ValueError(f"{folder} has another manifest")
    files: dict[str, dict[str, Any]] = json.loads(text)["files"]
    return files
