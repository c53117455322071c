"""Records and runs of a store at a URL, and the copy of them that this machine works in.

The copy is an ordinary store. Workers fetch into it the runs that they need, make results in it, and publish
them: the run, its manifest, then the record. Whoever looks at the grid has only the small files of the runs.
Nothing is locked at the URL: one `grid run` at a time hands out its work.
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
from adapterstilts.store.quick_check import metrics_of
from adapterstilts.store.remote import Remote, There
from adapterstilts.store.runs import RUN_NAME, check

RECORD = re.compile(r"\.grid/done/[0-9a-f]{2}/[0-9a-f]{64}\.json")
FAILURE = re.compile(r"failures/[0-9a-f]{64}\.json")
SMALL = re.compile(rf"{RECORD.pattern}|{FAILURE.pattern}|(?!\.)[^/]+/({MANIFEST}|{METRICS})")


def is_url(store: str | Path) -> bool:
    """Whether a store is at a URL, not in a folder."""
    return isinstance(store, str) and "://" in store


def records_of(store: str | Path, view: bool = True) -> Records:
    """The records of a store in a folder or at a URL.

    Args:
        view: to look at all of them; workers, who are told what to make, need not.
    """
    return RemoteRecords(str(store), view) if is_url(store) else Records(Path(store))


def copy_of(url: str) -> Path:
    """Where this machine keeps its copy of what is at a URL."""
    cache = os.environ.get("ADAPTERSTILTS_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) if cache else Path(home) / "adapterstilts"
    return folder / "shared" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


class RemoteRecords(Records):
    """The records at a URL; `store` is this machine's copy."""

    def __init__(self, url: str, view: bool = True):
        super().__init__(copy_of(url))
        self._remote = Remote(url)
        self._view = view
        self._small = self.store / ".remote"
        self._there: dict[str, There] | None = None

    def names(self) -> set[str]:
        """The requests that have a record at the URL now; the copy of all small files is made the same."""
        return {name[-69:-5] for name in self._refresh() if RECORD.fullmatch(name)}

    def failed(self) -> set[str]:
        """The requests whose failure was recorded when the names were looked at."""
        return {name[-69:-5] for name in self._seen() if FAILURE.fullmatch(name)}

    def _indexed(self, columns: Sequence[str], rest: str) -> None:
        """There is no index: where something is at a URL is seen by one listing."""

    def done(self, request: str) -> Record | None:
        """The record of a finished request whose run is there, every file in its size.

        A worker, who sees not all that is there, fetches the run.
        """
        if not self._view:
            return self._brought(request)
        record = self.read(request)
        return record if record and not record.damaged and self._whole(record) else None

    def _recorded(self, request: str) -> Record | None:
        """The record at the URL; None where there is none that can be read."""
        text = self._remote.read(self._name(self.file(request)))
        try:
            return None if text is None else Record.parse(text)
        except ValueError:
            return None

    def _brought(self, request: str) -> Record | None:
        try:
            record = self.bring(request)
        except DamagedError:
            self.doubt(request)  # so that what is made again takes the place of what is there
            return None
        if record is None or record.damaged:
            return None
        folder = self.store / record.run  # if of another manifest, it was made again for another request
        same = sha256(folder / MANIFEST) == record.manifest
        return record if same and self._remote.holds(folder) else None

    def failure(self, request: str) -> Failure | None:
        """Why a request failed, if it did; to a worker nothing failed yet."""
        return super().failure(request) if self._view else None

    def metrics(self, record: Record) -> dict[str, Any]:
        """The metrics of a finished request's run, which may have been made since the URL was looked at."""
        folder = self._small / record.run
        try:
            return metrics_of(folder, record.manifest)
        except DamagedError:
            names = {f"{record.run}/{name}" for name in (MANIFEST, METRICS)}
            self._remote.download({name: self._place(name) for name in names}, self._small)
            return metrics_of(folder, record.manifest)

    def doubt(self, request: str) -> None:
        """Does not count what is at the URL as done until it was made again."""
        record = self._recorded(request)
        if record:
            self.write(replace(record, damaged=True))

    def bring(self, request: str) -> Record | None:
        """The record of a request, and its run, fetched unless this machine has it."""
        record = self._recorded(request)
        if record is None:
            return None
        if not RUN_NAME.fullmatch(record.run) or "/" in record.run:
            raise StoreError(f"{self._remote.url}: the record of {request} names no run, but '{record.run}'")
        if not _has(self.store / record.run, record.manifest):
            self._fetch(record)
        return record

    def finish(self, request: JobSpec, run: Run, cost: Cost) -> Record:
        """Publishes a run unless it is there, whole as far as is known; then that it answers a request."""
        before = self._recorded(request.digest)
        if (before and before.damaged) or not self._remote.holds(run.path):
            self._remote.publish(run.path)
        record = super().finish(request, run, cost)
        self._remote.remove(self._name(self.failure_file(request.digest)))
        return record

    def write(self, record: Record) -> None:
        """Publishes a record."""
        super().write(record)
        self._upload(self.file(record.request))

    def fail(self, request: JobSpec, message: str, traceback: str) -> Failure:
        """Publishes a failure."""
        failure = super().fail(request, message, traceback)
        self._upload(self.failure_file(request.digest))
        return failure

    def forgive(self, request: str) -> None:
        """Forgets a failure, here and at the URL."""
        self._remove(self.failure_file(request))

    def forget(self, request: str) -> None:
        """Removes a record, here and at the URL."""
        self._remove(self.file(request))

    @contextmanager
    def folder(self, run: str) -> Iterator[Path]:
        """A run as it is at the URL, for as long as it is looked at."""
        self.store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.store, prefix=".look-") as place:
            self._download(run, Path(place) / run)
            yield Path(place) / run

    def _seen(self) -> dict[str, There]:
        """What was at the URL when it was looked at last."""
        return self._refresh() if self._there is None else self._there

    def _refresh(self) -> dict[str, There]:
        """Lists the URL, and fetches the small files that are new or changed."""
        self._there = found = self._remote.files()
        small = {name: there.version for name, there in found.items() if SMALL.fullmatch(name)}
        seen = self._small / "seen.json"
        known: dict[str, str] = json.loads(seen.read_bytes()) if seen.is_file() else {}
        places = {name: self._place(name) for name in small}
        new = {n: path for n, path in places.items() if known.get(n) != small[n] or not path.is_file()}
        self._remote.download(new, self._small)
        for name in known.keys() - small.keys():
            self._place(name).unlink(missing_ok=True)
        write_json(seen, small)
        return found

    def _place(self, name: str) -> Path:
        return (self.store if name.startswith((".grid/", "failures/")) else self._small) / name

    def _whole(self, record: Record) -> bool:
        try:
            text = self._place(f"{record.run}/{MANIFEST}").read_bytes()
            if hashlib.sha256(text).hexdigest() != record.manifest:  # before its form is relied on
                return False
            files: dict[str, dict[str, Any]] = json.loads(text)["files"]
            there = self._seen()
            sizes = {name: there[f"{record.run}/{name}"].size for name in [*files, MANIFEST]}
            return all(sizes[name] == entry["size"] for name, entry in files.items())
        except (OSError, ValueError, KeyError):
            return False

    def _fetch(self, record: Record) -> None:
        """Puts a run into this machine's copy, after checking it.

        Raises:
            DamagedError: it is damaged at the URL.
        """
        with self.folder(record.run) as found:
            _drop_strays(found)
            state = check(found) if found.is_dir() else Damaged(found, "it is gone")
            if isinstance(state, Damaged):
                what = f"run {record.run} at {self._remote.url} is damaged: {state.reason}"
                raise DamagedError(what, record.run)
            final = self.store / record.run
            if final.is_dir() and not _has(final, record.manifest):
                Store(self.store).remove(record.run)
            if not final.is_dir():
                os.rename(found, final)

    def _download(self, run: str, folder: Path) -> None:
        """All files of a run, whatever they are worth; nothing where there are none."""
        names = self._remote.sizes(run)
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise StoreError(f"{self._remote.url}: {run} has files outside of its folder")
        self._remote.download({f"{run}/{name}": folder / name for name in names}, folder.parent)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.store).as_posix()

    def _upload(self, path: Path) -> None:
        self._remote.upload(path, self._name(path))

    def _remove(self, path: Path) -> None:
        name = self._name(path)
        if self._seen().pop(name, None):
            self._remote.remove(name)
        path.unlink(missing_ok=True)


def _drop_strays(folder: Path) -> None:
    """Removes what the manifest does not name: for somebody's file at the URL no run is made again."""
    try:
        named = loads((folder / MANIFEST).read_text("utf-8"))["files"]
        for name in stats_in(folder).keys() - {*named, MANIFEST}:
            (folder / name).unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return  # and the check says why


def _has(folder: Path, manifest: str) -> bool:
    """Whether a folder is the run with this manifest, every byte of it."""
    path = folder / MANIFEST
    same = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == manifest
    return same and isinstance(check(folder), Run)
