"""Which run answers which request: small records beside the runs, that can always be made again.

A record is never trusted over its run: if the run is gone or its files are not what they were, the request
counts as not done. Records, failures and claims of a store are kept under `.grid/` and `failures/`.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import ConfigDict, TypeAdapter

from adapterstilts.bounded_json import loads
from adapterstilts.grid.job_spec import JobSpec, JobType
from adapterstilts.grid.records_index import Index
from adapterstilts.store import Run
from adapterstilts.store.files import MANIFEST, disk_errors, read_small, sha256, stats_in, write_json
from adapterstilts.store.quick_check import intact, metrics_of, seal_of

DIGEST = 64  # digits
FILE_NAME = DIGEST + len(".json")
MANY = 100_000  # records; beyond, a quick look reads an index
SETTINGS_DIGITS = 16  # digits that tell settings apart


@dataclass(frozen=True, slots=True)  # of these a status holds very many; a `Value` is three times as large
class Record:
    """One finished request.

    Attributes:
        run, key, manifest: the run that answers it, its key, and the SHA-256 of its manifest.
        type, task, kind, composition, backbone, language: what was asked for, for estimates and for people.
        seconds: that computing it took; None where the run was there already.
        examples: that it went through, with repetitions; None where nothing was trained.
        size: of the run's files, bytes.
        accumulation: forward passes of one step, raised where memory was short; 1 in evaluations.
        leaked: items of an evaluation that were trained on too.
        settings: the first digits of the settings' digest; "" where that was not recorded.
        damaged: the run was found changed, or its data is to be read again: it does not count until then.
        seal: of the sizes and times of the run's files when this was written; "" where nobody looked. As long
            as it holds, the manifest need not be read.
        precision: what the run was computed in, "fp32" or "bf16"; "" where nothing was computed.
        pulled: repository and commit that the run was pulled from; "" of a run that was trained here.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    request: str
    run: str
    key: str
    manifest: str
    type: JobType
    task: str
    kind: str | None
    composition: str
    backbone: str
    language: str = ""
    seconds: float | None = None
    examples: int | None = None
    size: int = 0
    accumulation: int = 1
    leaked: int = 0
    settings: str = ""
    damaged: bool = False
    seal: str = ""
    precision: str = ""
    pulled: str = ""

    @staticmethod
    def parse(text: bytes) -> Record:
        """Reads a record as it is written.

        Raises:
            ValueError: it is none.
        """
        return RECORD.validate_json(text)


RECORD = TypeAdapter(Record)


class Answer(NamedTuple):
    """The run that answers a request; `precision` and `pulled` as in `Record`."""

    run: str
    precision: str = ""
    pulled: str = ""


@dataclass(frozen=True, slots=True)
class CostGroup:
    """What is known of the cost of records that are alike.

    Attributes:
        seconds, examples, size: the mean of each, as in `Record`.
        number: how many records there are.
    """

    type: JobType
    task: str
    composition: str
    backbone: str
    settings: str
    seconds: float | None
    examples: float | None
    size: float
    number: int = 1


ALIKE = ("type", "task", "composition", "backbone", "settings")
COLUMNS = ("run", "damaged", *ALIKE, "seconds", "examples", "size", "precision", "pulled")


@dataclass(frozen=True)
class Cost:
    """What making a run took; see `Record`."""

    seconds: float | None = None
    examples: int | None = None
    accumulation: int = 1


@dataclass(frozen=True)
class Failure:
    """Why a request has no result.

    Attributes:
        name: the request, for people.
        message: the error in one line or a few; `traceback` as Python prints it.
        time: ISO 8601, UTC.
    """

    request: str
    name: str
    message: str
    traceback: str
    time: str


@dataclass(frozen=True)
class Running:
    """A request that some process is making.

    Attributes:
        since: seconds since the epoch.
    """

    request: str
    name: str
    process: int
    since: float


class Records:
    """The records of one store."""

    def __init__(self, store: Path):
        self.store = Path(store)
        self.root = self.store / ".grid"
        self._index = Index(self.root / "index.sqlite", self.root / "done", COLUMNS, self._row)

    def file(self, request: str) -> Path:
        """Where the record of a request is, once there is one."""
        return Path(self._file(request))

    def _file(self, request: str) -> str:
        return f"{self.root}/done/{request[:2]}/{request}.json"

    def read(self, request: str) -> Record | None:
        """The record of a request; None where there is none that can be read."""
        try:
            return Record.parse(read_small(self._file(request)))
        except (OSError, ValueError):
            return None

    def done(self, request: str) -> Record | None:
        """The record of a finished request, after a look at its run.

        Sizes are checked; of files that were changed after the run was published, the checksum too.
        """
        record = self.read(request)
        if record is None or record.damaged:
            return None
        return record if intact(f"{self.store}/{record.run}", record.manifest, record.seal) else None

    def bring(self, request: str) -> Record | None:
        """The record of a request whose run is needed now, in the folder `store`."""
        return self.read(request)

    @contextmanager
    def folder(self, run: str) -> Iterator[Path]:
        """A run with the bytes that are in the store, for as long as it is looked at."""
        yield self.store / run

    def metrics(self, record: Record) -> dict[str, Any]:
        """The metrics of a finished request's run, as they were published.

        Raises:
            DamagedError: they are not that any more.
        """
        return metrics_of(self.store / record.run, record.manifest)

    def finish(self, request: JobSpec, run: Run, cost: Cost) -> Record:
        """Records that a run answers a request; what computing it took once stays known.

        Returns:
            The record, with what it took this time.
        """
        settings = request.settings
        before = self.read(request.digest)
        source = run.pulled
        record = Record(
            request=request.digest,
            run=run.id,
            key=run.key,
            manifest=sha256(run.path / MANIFEST),
            type=request.type,
            task=request.task,
            kind=settings.kind,
            composition=request.composition,
            backbone=settings.backbone,
            language=request.language,
            seconds=cost.seconds,
            examples=cost.examples,
            size=run.size,
            accumulation=cost.accumulation,
            leaked=int(run.metrics.get("leaked", 0)),
            settings=settings.digest[:SETTINGS_DIGITS],
            seal=seal_of(stats_in(run.path)),
            precision=run.precision,
            pulled=str(source) if source else "",
        )
        known = before.seconds if before and before.key == run.key else None
        self.write(record if record.seconds is not None else replace(record, seconds=known))
        self.failure_file(request.digest).unlink(missing_ok=True)
        return record

    def write(self, record: Record) -> None:
        """Publishes a record, whole or not at all."""
        with disk_errors(self.store):
            write_json(self.file(record.request), asdict(record))

    def names(self) -> set[str]:
        """The requests that have a record, whatever it is worth."""
        folders = _listed(self.root / "done")
        return {
            name[:-5]
            for part in folders
            for name in _listed(self.root / "done" / part)
            if len(name) == FILE_NAME
        }

    def all(self) -> Iterator[Record]:
        """All records that can be read, of whatever recipe."""
        for name in sorted(self.names()):
            record = self.read(name)
            if record:
                yield record

    def alike(self) -> Iterator[CostGroup]:
        """What all records say of costs, where there are very many as the index knows them."""
        means = ("avg(seconds)", "avg(coalesce(examples, 0))", "avg(size)", "count(*)")
        groups = self._indexed((*ALIKE, *means), f"GROUP BY {', '.join(ALIKE)}, seconds IS NULL")
        if groups is not None:
            yield from (CostGroup(*row) for row in groups)
            return
        for each in self.all():
            alike = (each.type, each.task, each.composition, each.backbone, each.settings)
            yield CostGroup(*alike, each.seconds, each.examples, each.size)

    def glance(self) -> dict[str, Answer] | None:
        """Answers of very many records by request, of runs that are there; None where few enough to look at.

        Of the runs' files nothing is seen.
        """
        rows = self._indexed(("name", *Answer._fields), "WHERE NOT damaged")
        if rows is None:
            return None
        there = set(_listed(self.store))
        return {
            request: Answer(run, sys.intern(precision), pulled)
            for request, run, precision, pulled in rows
            if run in there
        }

    def _indexed(self, columns: Sequence[str], rest: str) -> list[tuple[Any, ...]] | None:
        """Rows of the index where there are so many records that one is kept."""
        return self._index.rows(columns, rest) if len(self.names()) > MANY else None

    def _row(self, request: str) -> tuple[Any, ...] | None:
        record = self.read(request) if len(request) == DIGEST else None
        return tuple(getattr(record, name) for name in COLUMNS) if record else None

    def failed(self) -> set[str]:
        """The requests, and jobs, whose failure is recorded."""
        return {name[:-5] for name in _listed(self.store / "failures") if len(name) == FILE_NAME}

    def failure_file(self, request: str) -> Path:
        """Where the failure of a request is recorded; those of single jobs lie beside it."""
        return self.store / "failures" / f"{request}.json"

    def failure(self, request: str) -> Failure | None:
        """Why a request failed, if it did."""
        try:
            return Failure(**loads(self.failure_file(request).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def fail(self, request: JobSpec, message: str, traceback: str) -> Failure:
        """Records a failure; it is never a result, and success removes it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        failure = Failure(request.digest, request.name, message, traceback, now)
        with disk_errors(self.store):
            write_json(self.failure_file(request.digest), vars(failure))
        return failure

    def forgive(self, request: str) -> None:
        """Forgets a failure, so that the request is tried again."""
        self.failure_file(request).unlink(missing_ok=True)

    def doubt(self, request: str) -> None:
        """Does not count a request as done until its run was checked, and its data read, again."""
        record = self.read(request)
        if record:
            self.write(replace(record, damaged=True))

    def forget(self, request: str) -> None:
        """Removes a record; the run stays, and is found again by its key."""
        self.file(request).unlink(missing_ok=True)

    @contextmanager
    def claim(self, request: JobSpec) -> Iterator[bool]:
        """The right to make one request's result; false where another process has it."""
        path = self.root / "running" / request.digest
        with disk_errors(self.store):
            path.parent.mkdir(parents=True, exist_ok=True)
            number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            mine = _lock(number) and _is(number, path)
            if mine:
                about = {"name": request.name, "process": os.getpid(), "since": datetime.now(UTC).timestamp()}
                os.ftruncate(number, 0)
                os.write(number, json.dumps(about).encode())
            try:
                yield mine
            finally:
                if mine:
                    path.unlink(missing_ok=True)
        finally:
            os.close(number)

    def running(self) -> list[Running]:
        """What living processes are making, the longest first; claims of dead ones do not count."""
        folder = self.root / "running"
        found = [each for name in _listed(folder) if (each := _running(folder / name))]
        return sorted(found, key=lambda each: each.since)


def _listed(folder: Path) -> list[str]:
    """Names in a folder; none where there is no such folder."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(number: int, path: Path) -> bool:
    """Whether the open file is the one that stands there: whoever had the claim removes it at the end."""
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except FileNotFoundError:
        return False


def _running(path: Path) -> Running | None:
    try:
        number = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        about: Mapping[str, Any] = json.loads(os.pread(number, os.fstat(number).st_size, 0) or b"{}")
        return Running(path.name, about["name"], about["process"], about["since"]) if about else None
    else:
        return None  # whoever made it is dead
    finally:
        os.close(number)
