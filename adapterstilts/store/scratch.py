"""Temporary folders that a killed process leaves to the next one, which removes them."""

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
    """A new folder inside `parent`, removed at the end; leftovers of killed processes are removed first.

    A lock on the folder itself tells whether the process that made it still lives, so several processes
    can work side by side.

    Args:
        parent: a folder, on the disk where the result will be.
    """
    remove_leftovers(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_leftovers(parent: Path) -> None:
    """Removes the temporary folders in `parent` that no living process holds."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in [entry for entry in entries if entry.name.startswith(PREFIX)]:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.getuid():
                    _remove(entry.path)


def _remove(folder: str) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder and the lock on it; a folder that another process removes meanwhile is left to it."""
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
        except OSError:  # a file system without locks: nobody removes the folder then
            return Path(folder), lock
        if Path(folder).is_dir() and os.path.samestat(os.fstat(lock), Path(folder).stat()):
            return Path(folder), lock
        os.close(lock)
