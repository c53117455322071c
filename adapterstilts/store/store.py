"""The store: gets, finds, lists, publishes and removes runs; the only code that writes results."""

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
from adapterstilts.store.runs import RUN_NAME, SHORT, Damaged, Job, Run, check, manifest_of, read_run
from adapterstilts.terminal_text import visible

FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,230}")
HEX = re.compile(r"[0-9a-f]+")
FEW = 10  # runs that an error names


def say(message: str) -> None:
    """One line on standard error."""
    print(visible(message), file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Work:
    """The exclusive right to make one job's result.

    Attributes:
        folder: survives a kill, so that training goes on from what it left there.
        finished: the result, if another process published it meanwhile; then there is nothing to do.
    """

    store: Store
    job: Job
    folder: Path
    finished: Run | None

    def publish(self, metrics: Mapping[str, Any]) -> Run:
        """Makes the files under `folder / "out"` the job's result and removes the working folder.

        Adds `job.json`, `metrics.json` and `manifest.json`, syncs everything, then renames.

        Raises:
            StoreError: the disk is full, or there is something other than plain files.
        """
        out = self.folder / "out"
        with disk_errors(self.store.root):
            out.mkdir(parents=True, exist_ok=True)
            for left in filter(Path.is_file, out.rglob(".*")):  # by a kill in the middle of writing a file
                left.unlink()
            write_json(out / JOB, {**self.job.model_dump(mode="json"), "key": self.job.key})
            write_json(out / METRICS, metrics)
            write_json(out / MANIFEST, manifest_of(out))
            _sync_all(out)
            self._rename(out)
        shutil.rmtree(self.folder)
        self.store.failure_file(self.job).unlink(missing_ok=True)
        return read_run(self.store.folder(self.job))

    def _rename(self, out: Path) -> None:
        final = self.store.folder(self.job)
        if final.exists():
            raise StoreError(f"{final} is there already: remove it (adapterstilts runs rm {final.name})")
        os.rename(out, final)
        sync(self.store.root)


class Store:
    """A folder of finished runs, each named by what it is and the first digits of its key."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def folder(self, job: Job) -> Path:
        """Where the result of a job is, once there is one.

        Raises:
            StoreError: the job's task has a name that no folder can have.
        """
        if not FOLDER.fullmatch(job.slug):
            raise StoreError(f"{job.slug[:80]!r} cannot be the name of a result's folder")
        return self.root / f"{job.slug}-{job.key[:SHORT]}"

    def failure_file(self, job: Job) -> Path:
        """Where a failure of a job is recorded."""
        return self.root / "failures" / f"{job.key}.json"

    def get(self, job: Job) -> Run | None:
        """The verified result of a job, or None where there is none; the folder's name tells where to look.

        Raises:
            DamagedError: there is one, but it is damaged; the message names the file.
        """
        folder = self.folder(job)
        try:
            return read_run(folder) if folder.is_dir() else None
        except DamagedError as error:
            raise DamagedError(str(error), error.run, wanted=True) from error

    def with_key(self, key: str) -> Run | None:
        """Like `get`, by the job's key alone: all names are looked through."""
        named = [name for name in self._names() if name.endswith(f"-{key[:SHORT]}")]
        return next((run for run in map(read_run, map(self.root.joinpath, named)) if run.key == key), None)

    def find(self, ref: str) -> Run:
        """The run that a person means.

        Args:
            ref: a run's id, a unique prefix of an id or of a key, or a path to a run's folder, which
                may be outside the store.

        Raises:
            StoreError: none or several fit, or the one that fits is damaged.
        """
        run = read_run(self.locate(ref))
        if HEX.fullmatch(ref) and len(ref) > SHORT and not run.key.startswith(ref):
            raise self._unknown(ref)
        return run

    def scan(self, *, quick: bool = False) -> Iterator[Run | Damaged]:
        """All runs, sorted by id, and every folder that should be one but fails a check.

        Args:
            quick: do not hash the large files; presence and sizes are checked.
        """
        for name in self._names():
            yield check(self.root / name, quick=quick)

    @contextmanager
    def work(self, job: Job, *, wait: bool = True, tell: Callable[[str], None] = say) -> Iterator[Work]:
        """Locks a job, so that one process at a time makes its result.

        Args:
            wait: until another process that makes the same result is through; else that is an error.
            tell: receives one line before waiting.

        Raises:
            StoreError: another process is at it and `wait` is off; a damaged result is in the way; or
                the disk became full.
        """
        folder = self.root / ".work" / job.key
        with disk_errors(self.root), _locked(folder.with_suffix(".lock"), self.folder(job).name, wait, tell):
            finished = self.get(job)
            if finished:  # a kill between renaming and removing leaves the folder behind
                shutil.rmtree(folder, ignore_errors=True)
            else:
                folder.mkdir(parents=True, exist_ok=True)
            yield Work(self, job, folder, finished)

    def remove(self, ref: str) -> None:
        """Removes a run of this store, damaged or not.

        Raises:
            StoreError: none or several fit, or it lies outside the store.
        """
        folder = self.locate(ref)
        if folder.resolve().parent != self.root.resolve():
            raise StoreError(f"{folder} is not in the store {self.root}: remove it by hand")
        trash = Path(tempfile.mkdtemp(dir=self.root, prefix=".trash-"))
        os.rename(folder, trash / folder.name)
        sync(self.root)
        for left in self.root.glob(".trash-*"):  # also what a killed removal left
            shutil.rmtree(left, ignore_errors=True)

    def failure(self, job: Job, traceback_text: str) -> None:
        """Records why a job failed; a failure is never a result, and success removes it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"job": job.model_dump(mode="json"), "traceback": traceback_text, "time": now}
        with disk_errors(self.root):
            write_json(self.failure_file(job), record)

    def unfinished(self) -> list[str]:
        """Keys of the jobs that were begun and neither finished nor removed."""
        work = self.root / ".work"
        return sorted(path.name for path in work.iterdir() if path.is_dir()) if work.is_dir() else []

    def _names(self) -> list[str]:
        """Names of all folders that should be runs, sorted; nothing is read."""
        if not self.root.is_dir():
            return []
        with os.scandir(self.root) as entries:
            return sorted(each.name for each in entries if RUN_NAME.fullmatch(each.name) and each.is_dir())

    def locate(self, ref: str) -> Path:
        """The folder that `ref` means (see `find`), unchecked: it may be damaged."""
        if RUN_NAME.fullmatch(ref) and "/" not in ref and (self.root / ref).is_dir():
            return self.root / ref
        fits = [name for name in self._names() if _begins(name, ref)]
        if len(fits) > 1:
            more = f" and {len(fits) - FEW} more" if len(fits) > FEW else ""
            raise StoreError(
                f"'{ref}' fits several runs: {', '.join(fits[:FEW])}{more}. Give more of the id."
            )
        if fits:
            return self.root / fits[0]
        path = Path(ref)
        if ref and path.is_dir():
            if not (path / JOB).is_file():
                raise StoreError(f"{ref} is not the folder of a run: it has no {JOB}")
            return path.resolve()
        raise self._unknown(ref)

    def _unknown(self, ref: str) -> StoreError:
        near = difflib.get_close_matches(ref, self._names(), n=3, cutoff=0.4)
        hint = f"Nearest: {', '.join(near)}" if near else "`adapterstilts runs` lists what is there"
        return StoreError(f"no run '{ref}' in {self.root}. {hint}.")


def _begins(name: str, ref: str) -> bool:
    """Whether `ref` is a prefix of a run's id, or of its key as far as the id shows it."""
    of_key = HEX.fullmatch(ref) is not None and name[-SHORT:].startswith(ref[:SHORT])
    return bool(ref) and (name.startswith(ref) or of_key)


def _sync_all(folder: Path) -> None:
    for name in stats_in(folder):
        sync(folder / name)
    for path in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
        sync(path)


@contextmanager
def _locked(path: Path, what: str, wait: bool, tell: Callable[[str], None]) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = _lock(path, what, wait, tell)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(number)


def _lock(path: Path, what: str, wait: bool, tell: Callable[[str], None]) -> int:
    """Opens and locks the file; whoever held it before may have removed it, so its identity is checked."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _flock(number, what, wait, tell)
            if path.exists() and os.path.samestat(os.fstat(number), path.stat()):
                _sign(number, path)
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def _sign(number: int, path: Path) -> None:
    """Writes who holds the lock into its file; a full disk leaves none behind."""
    try:
        os.ftruncate(number, 0)
        os.write(number, str(os.getpid()).encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _flock(number: int, what: str, wait: bool, tell: Callable[[str], None]) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(number, 20, 0).decode() or "unknown"
        if not wait:
            raise StoreError(f"process {holder} is making {what} already") from None
        tell(f"process {holder} is making {what} already; waiting for it")
        fcntl.flock(number, fcntl.LOCK_EX)
