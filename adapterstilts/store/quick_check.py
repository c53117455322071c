"""Whether a run is as it was published, judged by sizes and times, and by checksums of small files alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterstilts.errors import DamagedError, StoreError
from adapterstilts.store.files import MANIFEST, METRICS, json_object, read_small, sha256, stats_in
from adapterstilts.store.metrics import check_metrics


def intact(folder: str, manifest: str, seal: str) -> bool:
    """Whether a run's folder is as it was published, as far as sizes and times show it.

    Args:
        manifest: SHA-256 (hex) of its manifest.
        seal: Seal of its files (see `seal_of`), "" if there is none. While it matches, no file is read.
    """
    try:
        stats = stats_in(folder)
        if seal and seal == seal_of(stats):
            return True
        files = manifest_files(Path(folder), manifest)
        published = stats.pop(MANIFEST).st_mtime_ns
        if stats.keys() != files.keys():
            return False
        # The manifest is written last: a file with a later time was written to, or copied without its time.
        return all(
            stats[name].st_size == entry["size"]
            and (stats[name].st_mtime_ns <= published or sha256(Path(folder, name)) == entry["sha256"])
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, StoreError):
        return False


def seal_of(stats: Mapping[str, os.stat_result]) -> str:
    """Returns a digest of files' names, sizes and times, which changes when one of them is written to."""
    text = "".join([f"{name} {info.st_size} {info.st_mtime_ns}\n" for name, info in stats.items()])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def metrics_of(folder: Path, manifest: str) -> dict[str, Any]:
    """Returns the metrics of a run after comparing their checksum; no other file of the run is checked.

    Args:
        manifest: SHA-256 (hex) of its manifest.

    Raises:
        DamagedError: The metrics or the manifest are missing, changed or malformed.
    """
    problem = f"{METRICS} is not as it was published"
    try:
        text = read_small(f"{folder}/{METRICS}")
        if hashlib.sha256(text).hexdigest() == manifest_files(folder, manifest)[METRICS]["sha256"]:
            metrics = json_object(text, METRICS)
            check_metrics(metrics)
            return metrics
    except StoreError as error:
        problem = str(error)
    except (OSError, ValueError, KeyError):
        pass
    raise DamagedError(f"run {folder.name} is damaged: {problem}", folder.name)


def manifest_files(folder: Path, manifest: str) -> dict[str, dict[str, Any]]:
    """Reads the files that a manifest lists, with sizes and checksums.

    Args:
        folder: Folder of the manifest.
        manifest: Expected SHA-256 (hex) of the manifest.

    Raises:
        ValueError: The manifest has another SHA-256.
        OSError, KeyError: The manifest is missing or malformed.
    """
    text = read_small(f"{folder}/{MANIFEST}")
    # Checked before parsing: the file may be anybody's.
    if hashlib.sha256(text).hexdigest() != manifest:
        raise ValueError(f"{folder} has another manifest")
    files: dict[str, dict[str, Any]] = json.loads(text)["files"]
    return files
