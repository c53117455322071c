"""Files that survive a kill or a power cut: written whole under another name, synced, renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from adapterstilts.errors import StoreError

JOB, METRICS, MANIFEST, ORIGIN = "job.json", "metrics.json", "manifest.json", "origin.json"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_TEXTS = ("StorageFull", "No space left on device")  # safetensors reports the disk only in its text


def link(src: Path, dst: Path) -> None:
    """Puts the file `src` at `dst`, as a hard link if it belongs to a published run on the same disk.

    Raises:
        StoreError: The disk is full, or `src` cannot be read.
    """
    src = src.resolve()
    with disk_errors(dst.parent):
        dst.parent.mkdir(parents=True, exist_ok=True)
        if dst.exists() and dst.samefile(src):
            return
        dst.unlink(missing_ok=True)
        # A file of a published run never changes, so sharing its bytes is safe; any other file is copied.
        if any((folder / MANIFEST).is_file() for folder in src.parents):
            try:
                os.link(src, dst)
            except OSError:  # another disk, or a file system without hard links
                shutil.copyfile(src, dst)
        else:
            shutil.copyfile(src, dst)


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk (or a quota, or a size limit) is full."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(text in str(error) for text in FULL_TEXTS)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns a full disk into a StoreError that names the folder; other errors pass."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        raise StoreError(
            f"the disk that holds {folder} is full: nothing was added to the results. Free some space, or "
            "choose another folder with --store, and repeat the command; it continues from the last "
            "checkpoint."
        ) from error


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes readable JSON, sorted by key; the file is written completely and synced, or not at all.

    Raises:
        StoreError: JSON cannot represent a value, such as NaN.
    """
    try:
        text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path.name} cannot hold this: {error}") from error
    write_whole(path, (text + "\n").encode("utf-8"))


def write_whole(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` in one step; after a failure the previous file is unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder: a rename is atomic only within one file system.
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(
                file.fileno()
            )  # before the rename, or a power cut could leave an empty file under the name
            os.fchmod(file.fileno(), 0o644)  # mkstemp makes files that only their owner reads
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Blocks until a file's bytes, or a folder's names, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_small(path: str) -> bytes:
    """Returns the bytes of a small file."""
    # A third of the time that a file object takes: listings read thousands of small files.
    number = os.open(path, os.O_RDONLY)
    try:
        return os.read(number, os.fstat(number).st_size)
    finally:
        os.close(number)


def json_object(text: bytes, name: str) -> dict[str, Any]:
    """Parses the JSON object in a run's file.

    Raises:
        StoreError: It is not JSON, not an object, nested too deep, or holds NaN.
    """
    # Not with `bounded_json`, which takes twice as long: a list of all runs reads thousands of files.
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{name} is not JSON ({str(error)[:200]})") from error
    if not isinstance(data, dict):
        raise StoreError(f"{name} is not a JSON object")
    return data


def _refuse_constant(text: str) -> NoReturn:
    # Python's parser accepts NaN and Infinity, which are not JSON.
    raise ValueError(f"{text} is not a JSON number")


def stats_in(folder: Path | str) -> dict[str, os.stat_result]:
    """Returns sizes and times of all files below a folder, by path relative to it, sorted.

    Raises:
        StoreError: There is a symbolic link, or anything else that is neither a file nor a folder.
    """
    return dict(sorted(_stats(os.fspath(folder), "")))


def _stats(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            # A link could lead out of the store, and its target could change after the run was checked.
            info = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                yield from _stats(entry.path, f"{prefix}{entry.name}/")
            elif stat.S_ISREG(info.st_mode):
                yield prefix + entry.name, info
            else:
                raise StoreError(f"{entry.path}: a result holds plain files only, not links or devices")
