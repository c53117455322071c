"""Claims of jobs: which process is running which job of a store."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.store.files import disk_errors

FOLDER = ".grid/running"


@dataclass(frozen=True)
class RunningJob:
    """Job that some process is running.

    Attributes:
        digest: Digest of the job.
        name: Name of the job.
        process: Process id.
        since: Start, in seconds since the epoch.
    """

    digest: str
    name: str
    process: int
    since: float


@contextmanager
def claim(store: Path, job: JobSpec) -> Iterator[bool]:
    """Claims a job for this process; yields False if another process holds the claim.

    The claim is a lock on a file. The kernel drops it when the process ends, however it ends.
    """
    path = store / FOLDER / job.digest
    with disk_errors(store):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        # A holder removes the file at the end, so the lock may be on a file that is no longer at this path.
        # Another process may have locked its successor: then this lock is no claim.
        claimed = _try_lock(descriptor) and _is_at(descriptor, path)
        if claimed:
            now = datetime.now(UTC).timestamp()
            text = json.dumps({"name": job.name, "process": os.getpid(), "since": now})
            os.ftruncate(descriptor, 0)
            os.write(descriptor, text.encode())
        try:
            yield claimed
        finally:
            if claimed:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def read_claims(store: Path) -> list[RunningJob]:
    """Returns the jobs that living processes have claimed, the longest running first."""
    folder = store / FOLDER
    paths = list(folder.iterdir()) if folder.is_dir() else []
    entries = [entry for path in paths if (entry := _read_claim(path))]
    return sorted(entries, key=lambda entry: entry.since)


def _read_claim(path: Path) -> RunningJob | None:
    """The claim in a file; None if its holder is dead."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Even a shared lock is refused while a living process holds the exclusive one.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        # The file is empty for the moment between locking and writing.
        content: Mapping[str, Any] = json.loads(text or b"{}")
        if not content:
            return None
        return RunningJob(path.name, content["name"], content["process"], content["since"])
    else:
        return None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
