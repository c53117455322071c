"""Temporary folders; those of killed processes are removed by the next process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".adapterstilts-"


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Creates a folder inside `parent` and removes it at the end, and first those of killed processes.

    Args:
        parent: Folder on the disk where the result will be.
    """
    _remove_leftovers(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_leftovers(parent: Path) -> None:
    """Removes the temporary folders in `parent` that no running process has locked."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in [entry for entry in entries if entry.name.startswith(PREFIX)]:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.getuid():
                    _remove(entry.path)


def _remove(folder: str) -> None:
    # The system releases the locks of a process that ends: a folder that can be locked is unused.
    # O_NOFOLLOW: in a shared folder such as /tmp another user could put a link in its place.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Creates a folder and locks it; a folder that another process removes in between is given up."""
    while True:
        folder = tempfile.mkdtemp(dir=parent, prefix=PREFIX)
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        except OSError:  # a file system without locks: no other process removes the folder then
            return Path(folder), lock
        # Between mkdtemp and flock another process may have locked, removed and replaced it.
        if Path(folder).is_dir() and os.path.samestat(os.fstat(lock), Path(folder).stat()):
            return Path(folder), lock
        os.close(lock)
