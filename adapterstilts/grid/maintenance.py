"""Checks a grid's results for damage, and removes results that no grid config needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from adapterstilts.errors import StoreError
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import Record, Records
from adapterstilts.store import Damaged, Run, Store
from adapterstilts.store.runs import check


@dataclass(frozen=True)
class _VerifyResult:
    """Result of checking all checksums of a grid's runs.

    Attributes:
        intact: Number of runs that are as they were published.
        damaged: Run id -> problem. Each run is marked, so that the next `grid run` recomputes it.
        missing: Ids of recorded runs that do not exist.
        unrecorded: Number of jobs without a record.
        mark_error: Reason why damage could not be marked, such as a read-only store; "" if it was marked.
    """

    intact: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unrecorded: int = 0
    mark_error: str = ""


def verify(jobs: Iterable[JobSpec], records: Records) -> _VerifyResult:
    """Reads every byte of the runs that hold the results of these jobs. The store may be read-only."""
    # Several jobs may share a run, which is read only once.
    by_run: dict[str, list[Record]] = {}
    recorded, unrecorded = records.record_digests(), 0
    for job in jobs:
        record = records.read_record(job.digest) if job.digest in recorded else None
        unrecorded += record is None
        if record:
            by_run.setdefault(record.run, []).append(record)
    intact, damaged, missing, mark_error = 0, {}, [], ""
    for name, run_records in sorted(by_run.items()):
        run = _check_run(records, name)
        if run is None:
            missing.append(name)
        elif isinstance(run, Damaged):
            damaged[name] = run.reason
            try:
                for record in run_records:
                    records.write_record(replace(record, recheck=True))
            except (OSError, StoreError) as error:
                mark_error = mark_error or str(error)
        else:
            intact += 1
    return _VerifyResult(intact, damaged, tuple(missing), unrecorded, mark_error)


def _check_run(records: Records, name: str) -> Run | Damaged | None:
    """Checks all bytes of a run; None if its folder does not exist. Unreadable files count as damage."""
    try:
        with records.run_folder(name) as folder:
            return check(folder) if folder.is_dir() else None
    except (OSError, StoreError) as error:
        return Damaged(records.store / name, str(error))


@dataclass(frozen=True)
class Garbage:
    """Results that none of some grid configs needs.

    Attributes:
        runs: Id -> size in bytes of runs that grids computed, damaged ones included.
        records: Digests of jobs in none of the grid configs whose runs are garbage or gone.
        leftovers: Working files of finished jobs, as a kill at the last moment leaves them.
        other_runs: Number of runs that no grid computed, according to the records. They stay.
        foreign: Number of runs of another version of adapterstilts. They and their records stay.
    """

    runs: dict[str, int]
    records: tuple[str, ...]
    leftovers: tuple[Path, ...]
    other_runs: int
    foreign: int

    @property
    def size(self) -> int:
        """Size of all runs in bytes."""
        return sum(self.runs.values())

    @staticmethod
    def find(jobs: Iterable[JobSpec], records: Records) -> Garbage:
        """Finds runs that grids computed and that neither these jobs nor their sources need."""
        digests = {job.digest for job in jobs}
        recorded = list(records.read_all())
        # A record without seconds found its run in the store: somebody else computed it.
        computed = {record.run for record in recorded if record.seconds is not None}
        folders = {run.path.name: run for run in Store(records.store).scan(quick=True)}
        foreign = {name for name, run in folders.items() if isinstance(run, Damaged) and run.foreign}
        runs = {name: run for name, run in folders.items() if isinstance(run, Run)}
        needed = _with_sources({record.run for record in recorded if record.digest in digests}, runs)
        garbage = {
            name: _size(folders[name]) for name in sorted(computed - needed - foreign) if name in folders
        }
        unneeded = [record for record in recorded if record.digest not in digests]
        stale = tuple(
            record.digest for record in unneeded if record.run in garbage or record.run not in folders
        )
        keys = {run.key for run in runs.values()}
        leftovers = tuple(path for path in (records.store / ".work").glob("*") if path.stem in keys)
        return Garbage(garbage, stale, leftovers, len(folders.keys() - computed - foreign), len(foreign))

    @staticmethod
    def remove(garbage: Garbage, records: Records) -> None:
        """Removes runs, then their records, so that a kill in between leaves findable garbage."""
        store = Store(records.store)
        for name in garbage.runs:
            store.remove(name)
        for digest in garbage.records:
            records.remove_record(digest)
            records.forget_failure(digest)
        for path in garbage.leftovers:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _size(run: Run | Damaged) -> int:
    """Size in bytes of a run's files, whatever these are. Links are not followed."""
    return sum(path.lstat().st_size for path in run.path.rglob("*") if not path.is_dir())


def _with_sources(names: set[str], runs: dict[str, Run]) -> set[str]:
    """The runs, and all that they were made from or evaluate."""
    by_key = {run.key: name for name, run in runs.items()}
    reached: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            # The sources of a damaged run are unknown, so they may become garbage.
            parents = runs[name].parents if name in runs else ()
            queue += [by_key[key] for key in parents if key in by_key]
    return reached
