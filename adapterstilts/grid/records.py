"""Records of a grid: which run holds the result of which job.

Records are small files beside the runs and can always be rebuilt from them. A run counts more than its
record: if the run is gone or its files changed, the job counts as open. Records and claims are kept under
`.grid/`, failures under `failures/`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import ConfigDict, TypeAdapter

from adapterstilts.bounded_json import loads
from adapterstilts.grid.claims import RunningJob, claim, read_claims
from adapterstilts.grid.job_spec import JobSpec, JobType
from adapterstilts.grid.records_index import RecordsIndex
from adapterstilts.store import Run
from adapterstilts.store.files import MANIFEST, disk_errors, read_small, sha256, stats_in, write_json
from adapterstilts.store.quick_check import intact, metrics_of, seal_of

DIGEST_LENGTH = 64  # hex digits of a SHA-256
FILE_NAME_LENGTH = DIGEST_LENGTH + len(".json")
INDEX_FROM = 100_000  # records; above this number, a quick status reads an index
SETTINGS_DIGITS = 16  # digits of a settings digest: enough to keep the settings of one store apart


# A status holds very many of these, and a pydantic model takes three times the memory.
@dataclass(frozen=True, slots=True)
class Record:
    """Result of one job.

    Attributes:
        digest: Digest of the job.
        run: Id of the run that holds the result.
        key: Key of that run.
        manifest: SHA-256 of the run's manifest.
        type: Type of the job, for estimates.
        task: Task of the job.
        kind: Kind of the task; None for several tasks.
        composition: Composition of the job.
        backbone: Backbone of the job.
        language: Language of an evaluation; "" for trainings.
        seconds: Seconds that computing it took; None if the run existed already.
        examples: Number of processed examples, repetitions included; None if nothing was trained.
        size: Size of the run's files in bytes.
        accumulation: Forward passes per optimizer step, raised if memory was short; 1 for evaluations.
        leaked: Number of evaluated items that were also trained on.
        settings: First digits of the settings' digest.
        recheck: Whether the run was found damaged or its data is to be read again. The job counts as open
            until it ran again.
        seal: Digest of the sizes and times of the run's files at the time of writing. While it matches, the
            manifest need not be read. "" if the files were not examined.
        precision: Precision of the computation, "fp32" or "bf16"; "" if nothing was computed.
        pulled: Repository and commit of a pulled run; "" for a run that was trained here.
    """

    # A record of another form must not be read as one of this form with default values.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    digest: str
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
    recheck: bool = False
    seal: str = ""
    precision: str = ""
    pulled: str = ""

    @staticmethod
    def parse(text: bytes) -> Record:
        """Parses the JSON of a record.

        Raises:
            ValueError: The text is not a record.
        """
        return _RECORD.validate_json(text)


_RECORD = TypeAdapter(Record)


class Answer(NamedTuple):
    """Run that holds the result of a job; `precision` and `pulled` as in `Record`."""

    run: str
    precision: str = ""
    pulled: str = ""


@dataclass(frozen=True, slots=True)
class CostGroup:
    """Mean cost of the records that agree in type, task, composition, backbone and settings.

    Attributes:
        seconds: Mean seconds; None if no record of the group was computed.
        examples: Mean number of examples.
        size: Mean size in bytes.
        count: Number of records.
    """

    type: JobType
    task: str
    composition: str
    backbone: str
    settings: str
    seconds: float | None
    examples: float | None
    size: float
    count: int = 1


GROUP_COLUMNS = ("type", "task", "composition", "backbone", "settings")
INDEX_COLUMNS = ("run", "recheck", *GROUP_COLUMNS, "seconds", "examples", "size", "precision", "pulled")


@dataclass(frozen=True)
class Cost:
    """Cost of computing a run; fields as in `Record`."""

    seconds: float | None = None
    examples: int | None = None
    accumulation: int = 1


@dataclass(frozen=True)
class Failure:
    """Error of a job that has no result.

    Attributes:
        digest: Digest of the job.
        name: Name of the job.
        message: Error message.
        traceback: Traceback as Python prints it.
        time: Time of the failure, ISO 8601, UTC.
    """

    digest: str
    name: str
    message: str
    traceback: str
    time: str


class Records:
    """Records, failures and claims of one store. Jobs are identified by their digests."""

    def __init__(self, store: Path):
        self.store = Path(store)
        self.root = self.store / ".grid"
        folder = self.root / "records"
        self._index = RecordsIndex(self.root / "index.sqlite", folder, INDEX_COLUMNS, self._index_row)

    def record_file(self, digest: str) -> Path:
        """Returns the path of a job's record, which may not exist."""
        return Path(self._record_file(digest))

    def _record_file(self, digest: str) -> str:
        # A string, since building a Path for each of a million records costs more than reading them.
        return f"{self.root}/records/{digest[:2]}/{digest}.json"

    def read_record(self, digest: str) -> Record | None:
        """Reads the record of a job; None if there is none or it is unreadable."""
        try:
            return Record.parse(read_small(self._record_file(digest)))
        except (OSError, ValueError):
            return None

    def find_finished(self, digest: str) -> Record | None:
        """Reads the record of a job and checks its run; None if the job counts as open.

        Sizes of files are checked, and the checksum of files that were changed after publication.
        """
        record = self.read_record(digest)
        if record is None or record.recheck:
            return None
        return record if intact(f"{self.store}/{record.run}", record.manifest, record.seal) else None

    def fetch_run(self, digest: str) -> Record | None:
        """Reads the record of a job and makes its run available in the folder `store`."""
        return self.read_record(digest)

    @contextmanager
    def run_folder(self, run: str) -> Iterator[Path]:
        """Yields the folder of a run with the bytes that the store holds."""
        yield self.store / run

    def read_metrics(self, record: Record) -> dict[str, Any]:
        """Reads the metrics of a job's run.

        Raises:
            DamagedError: The metrics changed since publication.
        """
        return metrics_of(self.store / record.run, record.manifest)

    def record_result(self, job: JobSpec, run: Run, cost: Cost) -> Record:
        """Records that a run holds the result of a job.

        Returns:
            The record with the cost of this call. If that is unknown because the run existed already, the
            stored record keeps the cost of an earlier one.
        """
        settings = job.settings
        previous = self.read_record(job.digest)
        source = run.pulled
        record = Record(
            digest=job.digest,
            run=run.id,
            key=run.key,
            manifest=sha256(run.path / MANIFEST),
            type=job.type,
            task=job.task,
            kind=settings.kind,
            composition=job.composition,
            backbone=settings.backbone,
            language=job.language,
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
        seconds = previous.seconds if previous and previous.key == run.key else None
        self.write_record(record if record.seconds is not None else replace(record, seconds=seconds))
        # Last: a kill in between leaves a result and a failure, and the result counts.
        self.failure_file(job.digest).unlink(missing_ok=True)
        return record

    def write_record(self, record: Record) -> None:
        """Writes a record atomically."""
        with disk_errors(self.store):
            write_json(self.record_file(record.digest), asdict(record))

    def remove_record(self, digest: str) -> None:
        """Removes a record. The run stays, and the job finds it again by its key."""
        self.record_file(digest).unlink(missing_ok=True)

    def mark_for_recheck(self, digest: str) -> None:
        """Makes a job count as open until its run was checked and its data read again."""
        record = self.read_record(digest)
        if record:
            self.write_record(replace(record, recheck=True))

    def record_digests(self) -> set[str]:
        """Returns the digests of all jobs with a record, readable or not."""
        return {
            name[:-5]
            for part in _list_names(self.root / "records")
            for name in _list_names(self.root / "records" / part)
            if len(name) == FILE_NAME_LENGTH
        }

    def read_all(self) -> Iterator[Record]:
        """Reads all readable records, of every grid config."""
        for digest in sorted(self.record_digests()):
            record = self.read_record(digest)
            if record:
                yield record

    def cost_groups(self) -> Iterator[CostGroup]:
        """Returns the costs of all records; means of groups if the store keeps an index."""
        means = ("avg(seconds)", "avg(coalesce(examples, 0))", "avg(size)", "count(*)")
        grouping = f"GROUP BY {', '.join(GROUP_COLUMNS)}, seconds IS NULL"
        groups = self._query_index((*GROUP_COLUMNS, *means), grouping)
        if groups is not None:
            yield from (CostGroup(*row) for row in groups)
            return
        for record in self.read_all():
            group = (record.type, record.task, record.composition, record.backbone, record.settings)
            yield CostGroup(*group, record.seconds, record.examples, record.size)

    def read_answers(self) -> dict[str, Answer] | None:
        """Reads the results of all jobs from the index, by job; None if the store keeps no index.

        Only results whose run still exists are returned. The files of the runs are not checked.
        """
        rows = self._query_index(("digest", *Answer._fields), "WHERE NOT recheck")
        if rows is None:
            return None
        runs = set(_list_names(self.store))
        # Interned: a million records share two precisions.
        return {
            digest: Answer(run, sys.intern(precision), pulled)
            for digest, run, precision, pulled in rows
            if run in runs
        }

    def _query_index(self, columns: Sequence[str], clause: str) -> list[tuple[Any, ...]] | None:
        """Queries the index; None if the store has too few records for one."""
        return self._index.query(columns, clause) if len(self.record_digests()) > INDEX_FROM else None

    def _index_row(self, digest: str) -> tuple[Any, ...] | None:
        record = self.read_record(digest) if len(digest) == DIGEST_LENGTH else None
        return tuple(getattr(record, name) for name in INDEX_COLUMNS) if record else None

    def failed_digests(self) -> set[str]:
        """Returns the digests of all jobs with a recorded failure, and the keys of failed single runs."""
        return {name[:-5] for name in _list_names(self.store / "failures") if len(name) == FILE_NAME_LENGTH}

    def failure_file(self, digest: str) -> Path:
        """Returns the path of a job's failure, which may not exist."""
        return self.store / "failures" / f"{digest}.json"

    def read_failure(self, digest: str) -> Failure | None:
        """Reads the failure of a job; None if there is none or it is unreadable."""
        try:
            return Failure(**loads(self.failure_file(digest).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def record_failure(self, job: JobSpec, message: str, traceback: str) -> Failure:
        """Records a failure. It is never a result, and a later success removes it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        failure = Failure(job.digest, job.name, message, traceback, now)
        with disk_errors(self.store):
            write_json(self.failure_file(job.digest), vars(failure))
        return failure

    def forget_failure(self, digest: str) -> None:
        """Removes a failure, so that the job is retried."""
        self.failure_file(digest).unlink(missing_ok=True)

    def claim(self, job: JobSpec) -> AbstractContextManager[bool]:
        """Claims a job for this process; the context's value is False if another process holds the claim."""
        return claim(self.store, job)

    def running_jobs(self) -> list[RunningJob]:
        """Returns the jobs that living processes have claimed, the longest running first."""
        return read_claims(self.store)


def _list_names(folder: Path) -> list[str]:
    """Returns the names in a folder; none if it does not exist."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
