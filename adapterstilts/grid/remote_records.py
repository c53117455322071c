"""Records and runs of a store at a URL, and the local copy of it.

The copy is an ordinary store. Workers fetch the runs that they need into it, compute results in it, and
publish them: the run's files, its manifest, then the record. Commands that only read a status keep the small
files of the runs there. Nothing is locked at the URL: only one `grid run` at a time may use it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapterstilts.bounded_json import loads
from adapterstilts.errors import DamagedError, StoreError
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import Cost, Failure, Record, Records
from adapterstilts.store import Damaged, Run, Store
from adapterstilts.store.files import MANIFEST, METRICS, sha256, stats_in, write_json
from adapterstilts.store.quick_check import manifest_files, metrics_of
from adapterstilts.store.remote import Remote, RemoteFile
from adapterstilts.store.runs import RUN_NAME, check

RECORD = re.compile(r"\.grid/records/[0-9a-f]{2}/[0-9a-f]{64}\.json")
FAILURE = re.compile(r"failures/[0-9a-f]{64}\.json")
SMALL_FILE = re.compile(rf"{RECORD.pattern}|{FAILURE.pattern}|(?!\.)[^/]+/({MANIFEST}|{METRICS})")
DIGEST_IN_NAME = slice(-69, -5)  # 64 digits before ".json"


def is_url(store: str | Path) -> bool:
    """Whether a store is at a URL and not in a folder."""
    return isinstance(store, str) and "://" in store


def open_records(store: str | Path, list_all: bool = True) -> Records:
    """Opens the records of a store in a folder or at a URL.

    Args:
        store: Folder or URL.
        list_all: Whether to list everything at a URL. A worker needs only the jobs that it runs.
    """
    return _RemoteRecords(str(store), list_all) if is_url(store) else Records(Path(store))


def _local_copy(url: str) -> Path:
    """Returns the folder of this machine's copy of a URL."""
    cache = os.environ.get("ADAPTERSTILTS_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) if cache else Path(home) / "adapterstilts"
    return folder / "shared" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


class _RemoteRecords(Records):
    """Records at a URL; `store` is this machine's copy."""

    def __init__(self, url: str, list_all: bool = True):
        super().__init__(_local_copy(url))
        self._remote = Remote(url)
        self._list_all = list_all
        self._small_files = self.store / ".remote"
        self._listing: dict[str, RemoteFile] | None = None

    def record_digests(self) -> set[str]:
        """Lists the URL and returns the digests of all jobs with a record there."""
        return {name[DIGEST_IN_NAME] for name in self._refresh() if RECORD.fullmatch(name)}

    def failed_digests(self) -> set[str]:
        """Returns the digests of all jobs with a failure at the time of the last listing."""
        return {name[DIGEST_IN_NAME] for name in self._last_listing() if FAILURE.fullmatch(name)}

    def _query_index(self, columns: Sequence[str], clause: str) -> None:
        """Returns None: a store at a URL has no index, since one listing shows everything."""

    def find_finished(self, digest: str) -> Record | None:
        """Reads the record of a job; None if the job counts as open.

        The sizes of the run's files are checked against the listing. A worker, which has no listing, fetches
        the run.
        """
        if not self._list_all:
            return self._fetch_finished(digest)
        record = self.read_record(digest)
        return record if record and not record.recheck and self._is_complete(record) else None

    def _read_remote(self, digest: str) -> Record | None:
        """Reads the record at the URL; None if there is none or it is unreadable."""
        text = self._remote.read(self._name(self.record_file(digest)))
        try:
            return None if text is None else Record.parse(text)
        except ValueError:
            return None

    def _fetch_finished(self, digest: str) -> Record | None:
        try:
            record = self.fetch_run(digest)
        except DamagedError:
            self.mark_for_recheck(digest)  # the recomputed run then replaces the one at the URL
            return None
        if record is None or record.recheck:
            return None
        folder = self.store / record.run
        # With another manifest, the run was recomputed for another job since this record was written.
        same = sha256(folder / MANIFEST) == record.manifest
        return record if same and self._remote.holds(folder) else None

    def read_failure(self, digest: str) -> Failure | None:
        """Reads the failure of a job. A worker finds none: the jobs that it receives are to be run."""
        return super().read_failure(digest) if self._list_all else None

    def read_metrics(self, record: Record) -> dict[str, Any]:
        """Reads the metrics of a job's run, which may be newer than the last listing."""
        folder = self._small_files / record.run
        try:
            return metrics_of(folder, record.manifest)
        except DamagedError:
            names = {f"{record.run}/{name}" for name in (MANIFEST, METRICS)}
            self._remote.download({name: self._local_path(name) for name in names}, self._small_files)
            return metrics_of(folder, record.manifest)

    def mark_for_recheck(self, digest: str) -> None:
        """Makes a job count as open at the URL until it was recomputed."""
        record = self._read_remote(digest)
        if record:
            self.write_record(replace(record, recheck=True))

    def fetch_run(self, digest: str) -> Record | None:
        """Reads the record of a job and fetches its run unless this machine has it."""
        record = self._read_remote(digest)
        if record is None:
            return None
        # The name comes from the URL and becomes part of a local path.
        if not RUN_NAME.fullmatch(record.run) or "/" in record.run:
            raise StoreError(f"{self._remote.url}: the record of {digest} has no run id, but '{record.run}'")
        if not _is_run(self.store / record.run, record.manifest):
            self._fetch(record)
        return record

    def record_result(self, job: JobSpec, run: Run, cost: Cost) -> Record:
        """Publishes a run unless it is complete at the URL, then the record."""
        previous = self._read_remote(job.digest)
        if (previous and previous.recheck) or not self._remote.holds(run.path):
            self._remote.publish(run.path)
        record = super().record_result(job, run, cost)
        self._remote.remove(self._name(self.failure_file(job.digest)))
        return record

    def write_record(self, record: Record) -> None:
        """Publishes a record."""
        super().write_record(record)
        self._upload(self.record_file(record.digest))

    def record_failure(self, job: JobSpec, message: str, traceback: str) -> Failure:
        """Publishes a failure."""
        failure = super().record_failure(job, message, traceback)
        self._upload(self.failure_file(job.digest))
        return failure

    def forget_failure(self, digest: str) -> None:
        """Removes a failure here and at the URL, so that the job is retried."""
        self._remove(self.failure_file(digest))

    def remove_record(self, digest: str) -> None:
        """Removes a record here and at the URL."""
        self._remove(self.record_file(digest))

    @contextmanager
    def run_folder(self, run: str) -> Iterator[Path]:
        """Downloads a run into a temporary folder and yields it."""
        self.store.mkdir(parents=True, exist_ok=True)
        # Inside the store, so that the folder can be renamed into place.
        with tempfile.TemporaryDirectory(dir=self.store, prefix=".download-") as parent:
            self._download(run, Path(parent) / run)
            yield Path(parent) / run

    def _last_listing(self) -> dict[str, RemoteFile]:
        """The files at the URL at the time of the last listing."""
        return self._refresh() if self._listing is None else self._listing

    def _refresh(self) -> dict[str, RemoteFile]:
        """Lists the URL and fetches the small files that are new or changed."""
        self._listing = listing = self._remote.files()
        small = {name: entry.version for name, entry in listing.items() if SMALL_FILE.fullmatch(name)}
        versions_file = self._small_files / "versions.json"
        fetched: dict[str, str] = json.loads(versions_file.read_bytes()) if versions_file.is_file() else {}
        paths = {name: self._local_path(name) for name in small}
        changed = {
            name: path
            for name, path in paths.items()
            if fetched.get(name) != small[name] or not path.is_file()
        }
        self._remote.download(changed, self._small_files)
        for name in fetched.keys() - small.keys():
            self._local_path(name).unlink(missing_ok=True)
        # Written last: after a kill, the files are fetched again.
        write_json(versions_file, small)
        return listing

    def _local_path(self, name: str) -> Path:
        # The small files of runs lie apart from the fetched runs, which are complete.
        return (self.store if name.startswith((".grid/", "failures/")) else self._small_files) / name

    def _is_complete(self, record: Record) -> bool:
        """Whether all files of a run are at the URL in their sizes, as of the last listing."""
        try:
            files = manifest_files(self._local_path(record.run), record.manifest)
            listing = self._last_listing()
            sizes = {name: listing[f"{record.run}/{name}"].size for name in [*files, MANIFEST]}
            return all(sizes[name] == entry["size"] for name, entry in files.items())
        except (OSError, ValueError, KeyError):
            return False

    def _fetch(self, record: Record) -> None:
        """Downloads a run into this machine's copy after checking it.

        Raises:
            DamagedError: The run is damaged at the URL.
        """
        with self.run_folder(record.run) as folder:
            _remove_unlisted(folder)
            run = check(folder) if folder.is_dir() else Damaged(folder, "it was not found")
            if isinstance(run, Damaged):
                message = f"run {record.run} at {self._remote.url} is damaged: {run.reason}"
                raise DamagedError(message, record.run)
            final = self.store / record.run
            if final.is_dir() and not _is_run(final, record.manifest):
                Store(self.store).remove(record.run)
            # Another worker of this machine may have fetched it meanwhile.
            if not final.is_dir():
                os.rename(folder, final)

    def _download(self, run: str, folder: Path) -> None:
        """Downloads all files of a run, whatever they contain."""
        names = self._remote.sizes(run)
        # Whoever can write to the URL must not be able to write outside of the copy.
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise StoreError(f"{self._remote.url}: {run} has files outside of its folder")
        self._remote.download({f"{run}/{name}": folder / name for name in names}, folder.parent)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.store).as_posix()

    def _upload(self, path: Path) -> None:
        self._remote.upload(path, self._name(path))

    def _remove(self, path: Path) -> None:
        name = self._name(path)
        if self._last_listing().pop(name, None):
            self._remote.remove(name)
        path.unlink(missing_ok=True)


def _remove_unlisted(folder: Path) -> None:
    """Removes files that the manifest does not list: they are no reason to recompute the run."""
    try:
        manifest_files = loads((folder / MANIFEST).read_text("utf-8"))["files"]
        for name in stats_in(folder).keys() - {*manifest_files, MANIFEST}:
            (folder / name).unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return  # the check that follows reports the damaged manifest


def _is_run(folder: Path, manifest: str) -> bool:
    """Whether a folder holds the run with this manifest, every byte of it."""
    path = folder / MANIFEST
    same = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == manifest
    return same and isinstance(check(folder), Run)
