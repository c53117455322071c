"""Keeps a grid's results sound and small: finds damaged runs, and runs that no recipe needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from adapterstilts.errors import StoreError
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import Record, Records
from adapterstilts.store import Damaged, Run, Store
from adapterstilts.store.runs import check


@dataclass(frozen=True)
class Verified:
    """What a check of all checksums found.

    Attributes:
        whole: how many runs are as they were published.
        damaged: run id -> what is wrong; each is marked, so that the next `grid run` makes it again.
        unmarked: Reason why damage could not be recorded, such as a read-only store; "" if it was recorded.
        gone: runs that are recorded, but not there.
        without: how many of the requests have no record.
    """

    whole: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    without: int = 0
    unmarked: str = ""


def verify(
    requests: Iterable[JobSpec], records: Records, tell: Callable[[int], None] | None = None
) -> Verified:
    """Reads every byte of the runs that answer these requests, also where nothing can be written.

    Args:
        tell: receives how many runs have been checked.
    """
    by_run: dict[str, list[Record]] = {}
    there, without = records.names(), 0
    for request in requests:
        record = records.read(request.digest) if request.digest in there else None
        without += record is None
        if record:
            by_run.setdefault(record.run, []).append(record)
    whole, damaged, gone, unmarked = 0, {}, [], ""
    for count, (name, answers) in enumerate(sorted(by_run.items()), 1):
        found = _checked(records, name)
        if found is None:
            gone.append(name)
        elif isinstance(found, Damaged):
            damaged[name] = found.reason
            try:
                for record in answers:
                    records.write(replace(record, damaged=True))
            except (OSError, StoreError) as error:
                unmarked = unmarked or str(error)
        else:
            whole += 1
        if tell:
            tell(count)
    return Verified(whole, damaged, tuple(gone), without, unmarked)


def _checked(records: Records, name: str) -> Run | Damaged | None:
    """A run with all bytes checked; None if its folder does not exist. Unreadable files are damage."""
    try:
        with records.folder(name) as folder:
            return check(folder) if folder.is_dir() else None
    except (OSError, StoreError) as error:
        return Damaged(records.store / name, str(error))


@dataclass(frozen=True)
class Garbage:
    """What no given recipe needs.

    Attributes:
        runs: made by grids, damaged ones too, with their sizes in bytes.
        records: of requests that no given recipe has, and whose runs are among these or gone.
        leftovers: working files of jobs that are finished: what a kill at the last moment leaves.
        kept: runs that no grid made, as far as the records show, such as those made by hand: they stay.
        foreign: runs of another version of adapterstilts: they and their records stay.
    """

    runs: dict[str, int]
    records: tuple[str, ...]
    leftovers: tuple[Path, ...]
    kept: int
    foreign: int

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.runs.values())


def garbage(requests: Iterable[JobSpec], records: Records) -> Garbage:
    """Lists runs that only requests of other recipes than the given ones asked for.

    What a needed run was made from is needed too.
    """
    wanted = {request.digest for request in requests}
    answers = list(records.all())
    made = {record.run for record in answers if record.seconds is not None}
    found = {each.path.name: each for each in Store(records.store).scan(quick=True)}
    foreign = {name for name, each in found.items() if isinstance(each, Damaged) and each.foreign}
    runs = {name: each for name, each in found.items() if isinstance(each, Run)}
    needed = _with_sources({record.run for record in answers if record.request in wanted}, runs)
    loose = {name: _size(found[name]) for name in sorted(made - needed - foreign) if name in found}
    idle = [record for record in answers if record.request not in wanted]
    stale = tuple(record.request for record in idle if record.run in loose or record.run not in found)
    keys = {run.key for run in runs.values()}
    leftovers = tuple(path for path in (records.store / ".work").glob("*") if path.stem in keys)
    return Garbage(loose, stale, leftovers, len(found.keys() - made - foreign), len(foreign))


def _size(found: Run | Damaged) -> int:
    """Bytes of a run's files, whatever these are."""
    return sum(path.lstat().st_size for path in found.path.rglob("*") if not path.is_dir())


def _with_sources(names: set[str], runs: dict[str, Run]) -> set[str]:
    """The runs, and those that they were made from or evaluate."""
    by_key = {run.key: name for name, run in runs.items()}
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [by_key[key] for key in (runs[name].parents if name in runs else ()) if key in by_key]
    return found


def sweep(found: Garbage, records: Records) -> None:
    """Removes runs and then their records: what a kill in between leaves is known for garbage still."""
    store = Store(records.store)
    for name in found.runs:
        store.remove(name)
    for request in found.records:
        records.forget(request)
        records.forgive(request)
    for path in found.leftovers:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
