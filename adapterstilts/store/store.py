"""The store: finds, lists, publishes and removes runs. No other code writes results."""

from __future__ import annotations

import difflib
import fcntl
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapterstilts.errors import DamagedError, StoreError
from adapterstilts.store.files import JOB, MANIFEST, METRICS, disk_errors, stats_in, sync, write_json
from adapterstilts.store.runs import RUN_NAME, SHORT, Damaged, Job, Manifest, Run, check
from adapterstilts.terminal_text import visible

# No slash and no leading dot, and short enough for every file system: task names are part of it.
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,230}")
HEX = re.compile(r"[0-9a-f]+")
NAMED_RUNS = 10  # in an error


def _print_status(message: str) -> None:
    """Prints one line on standard error."""
    print(visible(message), file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Work:
    """The exclusive right to compute one job's result.

    Attributes:
        folder: Working folder. It survives a kill, so that training can resume from its checkpoint.
        finished: Result that another process published in the meantime; then there is nothing to do.
    """

    store: Store
    job: Job
    folder: Path
    finished: Run | None

    def publish(self, metrics: Mapping[str, Any]) -> Run:
        """Publishes the files under `folder / "out"` as the job's result and removes the working folder.

        Raises:
            StoreError: The disk is full, or there is something other than plain files.
        """
        out = self.folder / "out"
        with disk_errors(self.store.root):
            out.mkdir(parents=True, exist_ok=True)
            # Hidden files are temporary ones of `write_whole` that a kill interrupted.
            for path in filter(Path.is_file, out.rglob(".*")):
                path.unlink()
            write_json(out / JOB, {**self.job.model_dump(mode="json"), "key": self.job.key})
            write_json(out / METRICS, metrics)
            write_json(out / MANIFEST, Manifest.of(out))
            # All bytes are on the disk before the rename publishes them: a power cut leaves all or nothing.
            _sync_all(out)
            final = self.store.folder(self.job)
            if final.exists():
                raise StoreError(f"{final} exists already: remove it (adapterstilts runs rm {final.name})")
            os.rename(out, final)
            sync(self.store.root)
        shutil.rmtree(self.folder)
        self.store.failure_file(self.job).unlink(missing_ok=True)
        return Run.read(self.store.folder(self.job))


class Store:
    """A folder of finished runs, each named after its job and the first digits of its key."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def folder(self, job: Job) -> Path:
        """Returns the path of a job's result, which need not exist.

        Raises:
            StoreError: The name of the job's task cannot be part of a folder's name.
        """
        if not _FOLDER.fullmatch(job.slug):
            raise StoreError(f"{job.slug[:80]!r} cannot be the name of a result's folder")
        return self.root / f"{job.slug}-{job.key[:SHORT]}"

    def failure_file(self, job: Job) -> Path:
        """Returns the path of the record of a job's failure."""
        return self.root / "failures" / f"{job.key}.json"

    def get(self, job: Job) -> Run | None:
        """Returns the result of a job after all checks, or None if it does not exist.

        Raises:
            DamagedError: The result is damaged; the message names the file.
        """
        folder = self.folder(job)
        try:
            return Run.read(folder) if folder.is_dir() else None
        except DamagedError as error:
            raise DamagedError(str(error), error.run, requested=True) from error

    def with_key(self, key: str) -> Run | None:
        """Like `get`, by the job's key alone, which needs a list of all folders."""
        names = [name for name in self._names() if name.endswith(f"-{key[:SHORT]}")]
        return next((run for run in map(Run.read, map(self.root.joinpath, names)) if run.key == key), None)

    def find(self, ref: Run | str) -> Run:
        """Returns the run that a reference means, after all checks.

        Args:
            ref: A run, a run id, a unique prefix of an id or of a key, or the path of a run's folder, which
                may be outside the store.

        Raises:
            StoreError: No run or several runs match, or the run is damaged.
        """
        ref = str(ref.path) if isinstance(ref, Run) else ref
        run = Run.read(self.locate(ref))
        # A folder's name holds only the first digits of the key, so a longer reference is compared again.
        if HEX.fullmatch(ref) and len(ref) > SHORT and not run.key.startswith(ref):
            raise self._unknown(ref)
        return run

    def scan(self, *, quick: bool = False) -> Iterator[Run | Damaged]:
        """Yields all runs, sorted by id, and every folder of a run that fails a check.

        Args:
            quick: Check names and sizes of the large files, but not their checksums.
        """
        for name in self._names():
            yield check(self.root / name, quick=quick)

    @contextmanager
    def work(
        self, job: Job, *, wait: bool = True, status: Callable[[str], None] = _print_status
    ) -> Iterator[Work]:
        """Locks a job, so that one process at a time computes its result.

        Args:
            wait: Wait for another process that computes the same result; otherwise that is an error.
            status: Function that receives one line before waiting.

        Raises:
            StoreError: Another process computes the result and `wait` is off, a damaged result is in the way,
                or the disk became full.
        """
        folder = self.root / ".work" / job.key
        with (
            disk_errors(self.root),
            _locked(folder.with_suffix(".lock"), self.folder(job).name, wait, status),
        ):
            finished = self.get(job)
            # After waiting, because the other process may have published it. A kill between its rename and
            # the removal of the working folder leaves that folder.
            if finished:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                folder.mkdir(parents=True, exist_ok=True)
            yield Work(self, job, folder, finished)

    def remove(self, ref: str) -> None:
        """Removes a run of this store, damaged or not.

        Raises:
            StoreError: No run or several runs match, or the run is outside the store.
        """
        folder = self.locate(ref)
        if folder.resolve().parent != self.root.resolve():
            raise StoreError(f"{folder} is not in the store {self.root}: remove the folder yourself")
        # Renamed first: an interrupted removal must not leave a run with some of its files.
        trash = Path(tempfile.mkdtemp(dir=self.root, prefix=".trash-"))
        os.rename(folder, trash / folder.name)
        sync(self.root)
        for path in self.root.glob(".trash-*"):  # those of interrupted removals too
            shutil.rmtree(path, ignore_errors=True)

    def failure(self, job: Job, traceback_text: str) -> None:
        """Records the error of a job. A failure is never a result, and publishing the result removes it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"job": job.model_dump(mode="json"), "traceback": traceback_text, "time": now}
        with disk_errors(self.root):
            write_json(self.failure_file(job), record)

    def unfinished(self) -> list[str]:
        """Returns the keys of the jobs that were started and neither finished nor removed."""
        work = self.root / ".work"
        return sorted(path.name for path in work.iterdir() if path.is_dir()) if work.is_dir() else []

    def _names(self) -> list[str]:
        """Returns the names of all folders that are named like runs, sorted; no file is read."""
        if not self.root.is_dir():
            return []
        with os.scandir(self.root) as entries:
            return sorted(
                entry.name for entry in entries if RUN_NAME.fullmatch(entry.name) and entry.is_dir()
            )

    def locate(self, ref: str) -> Path:
        """Returns the folder that a reference means (see `find`) without checking the run."""
        if RUN_NAME.fullmatch(ref) and "/" not in ref and (self.root / ref).is_dir():
            return self.root / ref
        matches = [name for name in self._names() if _matches(name, ref)]
        if len(matches) > 1:
            rest = f" and {len(matches) - NAMED_RUNS} more" if len(matches) > NAMED_RUNS else ""
            raise StoreError(
                f"'{ref}' matches several runs: {', '.join(matches[:NAMED_RUNS])}{rest}. Pass more of the id."
            )
        if matches:
            return self.root / matches[0]
        path = Path(ref)
        if ref and path.is_dir():
            if not (path / JOB).is_file():
                raise StoreError(f"{ref} is not the folder of a run: it has no {JOB}")
            return path.resolve()
        raise self._unknown(ref)

    def _unknown(self, ref: str) -> StoreError:
        near = difflib.get_close_matches(ref, self._names(), n=3, cutoff=0.4)
        hint = f"Nearest: {', '.join(near)}" if near else "list the runs with `adapterstilts runs`"
        return StoreError(f"no run '{ref}' in {self.root}. {hint}.")


def _matches(name: str, ref: str) -> bool:
    """Whether `ref` is a prefix of a run's id, or agrees with the digits of its key in the id."""
    is_key = HEX.fullmatch(ref) is not None and name[-SHORT:].startswith(ref[:SHORT])
    return bool(ref) and (name.startswith(ref) or is_key)


def _sync_all(folder: Path) -> None:
    for name in stats_in(folder):
        sync(folder / name)
    for path in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
        sync(path)


@contextmanager
def _locked(path: Path, run: str, wait: bool, status: Callable[[str], None]) -> Iterator[None]:
    """Locks a file exclusively and removes it at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = _lock(path, run, wait, status)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(number)


def _lock(path: Path, run: str, wait: bool, status: Callable[[str], None]) -> int:
    """Opens and locks the file; returns its descriptor."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _flock(number, run, wait, status)
            # The previous owner may have removed the file: then this lock excludes nobody. Try again.
            if path.exists() and os.path.samestat(os.fstat(number), path.stat()):
                _sign(number, path)
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def _sign(number: int, path: Path) -> None:
    """Writes the process id into the lock file, for the messages of others; a full disk leaves no file."""
    try:
        os.ftruncate(number, 0)
        os.write(number, str(os.getpid()).encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _flock(number: int, run: str, wait: bool, status: Callable[[str], None]) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(number, 20, 0).decode() or "unknown"
        if not wait:
            raise StoreError(f"process {holder} is already computing {run}") from None
        status(f"process {holder} is already computing {run}; waiting for it")
        fcntl.flock(number, fcntl.LOCK_EX)
