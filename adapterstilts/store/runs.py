"""A finished run, read from its folder after checks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapterstilts.errors import ConfigError, DamagedError, StoreError
from adapterstilts.job import SCHEMA, EvalJob, TrainJob
from adapterstilts.store.files import JOB, MANIFEST, METRICS, json_object, read_small, sha256, stats_in
from adapterstilts.store.metrics import check_metrics
from adapterstilts.store.origin import PulledFrom, TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT, split_name
from adapterstilts.tasks.spec import Task
from adapterstilts.values import Value

Job = TrainJob | EvalJob
SHORT = 12  # hex digits of the key in a folder's name
RUN_NAME = re.compile(rf".+-[0-9a-f]{{{SHORT}}}")


class _Entry(Value):
    """One file of a manifest: its SHA-256 (hex) and its size in bytes."""

    sha256: str
    size: int


class Manifest(Value):
    """All files of a run except the manifest itself, by path relative to the run's folder."""

    files: dict[str, _Entry]

    @staticmethod
    def of(folder: Path) -> dict[str, Any]:
        """Returns the manifest of a folder's files as they are now, each hashed."""
        files = {
            name: {"sha256": sha256(folder / name), "size": info.st_size}
            for name, info in stats_in(folder).items()
            if name != MANIFEST
        }
        return {"files": files}


@dataclass(frozen=True)
class Run:
    """A finished job that passed its checks.

    Attributes:
        id: Name of its folder.
        key: Key of the job, a SHA-256 (hex).
        path: The folder.
        job: All settings that determine the result, as in `job.json`.
        metrics: Scores and counts, as in `metrics.json`.
        created: Time of its publication, ISO 8601, UTC.
        size: Total size of its files in bytes.
    """

    id: str
    key: str
    path: Path
    job: Job
    metrics: dict[str, Any]
    created: str
    size: int

    @property
    def precision(self) -> str:
        """The precision of its computation, "fp32" or "bf16"; "" where nothing is computed, as in a merge."""
        if isinstance(self.job, EvalJob):
            return self.job.precision
        return self.job.hyperparameters.precision if self.job.hyperparameters else ""

    @property
    def parents(self) -> tuple[str, ...]:
        """Keys of the runs that it needs: the sources of its composition, or the run that it evaluates."""
        if isinstance(self.job, EvalJob):
            return (self.job.run,) if self.job.run else ()  # "" is the bare backbone
        return self.job.composition.sources

    @property
    def training(self) -> TrainJob:
        """The job of a trained run.

        Raises:
            StoreError: The run is an evaluation.
        """
        if isinstance(self.job, EvalJob):
            raise StoreError(
                f"{self.id} is an evaluation: pass the run that it evaluates, {self.job.run[:SHORT]}"
            )
        return self.job

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Its tasks, without mixed-in plain text.

        A definition that the run stores (a custom task, or labels that were read from the data) takes
        precedence over the package's entry.

        Raises:
            ConfigError: An unknown task, or a definition of another version's form.
        """
        origin = TrainOrigin.read(self.path)
        stored = origin.tasks if origin else {}
        names = split_name(self.job.task)
        return tuple(
            Task.parse(stored[name], "task") if name in stored else get_task(name)
            for name in [name for name in names if name != TEXT] or names
        )

    @property
    def task(self) -> Task:
        """Its only task; see `tasks`.

        Raises:
            ConfigError: It has several tasks, each with a head.
        """
        tasks = self.tasks
        if len(tasks) > 1:
            names = ", ".join(task.name for task in tasks)
            raise ConfigError(f"{self.id} has a head for each of {names}: choose one with --task NAME")
        return tasks[0]

    @property
    def pulled(self) -> PulledFrom | None:
        """The repository that it was pulled from; None for a run that was computed here.

        Evaluations are never pulled; the run that they evaluate may have been.

        Raises:
            DamagedError: Its `origin.json` is malformed.
        """
        origin = TrainOrigin.read(self.path) if isinstance(self.job, TrainJob) else None
        return origin.pulled if origin else None

    def file(self, name: str) -> Path:
        """Returns the path of one of the run's files.

        Raises:
            StoreError: The run has no such file.
        """
        path = self.path / name
        # Names come from data too: `../` must not lead out of the run.
        if not path.is_file() or self.path.resolve() not in path.resolve().parents:
            raise StoreError(f"run {self.id} has no file {name}")
        return path

    @staticmethod
    def read(folder: Path, *, quick: bool = False) -> Run:
        """Reads a run's folder after checking it.

        Args:
            quick: Check the sizes of all files, but the checksums of `job.json` and `metrics.json` only.

        Raises:
            DamagedError: A file is missing, changed, superfluous or no plain file, or another version wrote
                the run. The message names the file and a remedy.
            StoreError: The folder cannot be read.
        """
        try:
            return _checked(folder, quick)
        except (StoreError, OSError) as error:
            message = (
                f"run {folder.name} cannot be used: {error}. "
                f"To recompute it, remove it (adapterstilts runs rm {folder.name}) and repeat its command."
            )
            if isinstance(error, OSError):
                raise StoreError(message) from error
            raise DamagedError(message, folder.name) from error


@dataclass(frozen=True)
class Damaged:
    """A run's folder that failed a check.

    Attributes:
        path: The folder.
        reason: The file and its problem.
        foreign: Whether the run is intact but was written by another version of adapterstilts.
    """

    path: Path
    reason: str
    foreign: bool = False


# Apart from damage: such a run is not repaired or removed, since the other version can use it.
class _ForeignError(StoreError):
    """The run was written by another version, with another schema."""


def check(folder: Path, *, quick: bool = False) -> Run | Damaged:
    """Like `Run.read`, but returns a problem instead of raising it."""
    try:
        return _checked(folder, quick)
    except (StoreError, OSError) as error:
        return Damaged(folder, str(error), isinstance(error, _ForeignError))


def _checked(folder: Path, quick: bool) -> Run:
    # One pass over the folder: a list of runs checks thousands of them.
    present = stats_in(folder)
    texts = {name: read_small(f"{folder}/{name}") for name in (JOB, METRICS, MANIFEST) if name in present}
    job, key = _job(folder, _json(JOB, texts))
    metrics = _json(METRICS, texts)
    check_metrics(metrics)
    manifest = _manifest(texts)
    unlisted = sorted(present.keys() - manifest.files.keys() - {MANIFEST})
    if unlisted:
        raise StoreError(f"{unlisted[0]} is not in its manifest")
    for name, entry in manifest.files.items():
        if name not in present:
            raise StoreError(f"{name} is missing")
        if present[name].st_size != entry.size:
            raise StoreError(f"{name} has {present[name].st_size} bytes, not {entry.size}")
        if (not quick or name in texts) and _sha256(folder / name, texts.get(name)) != entry.sha256:
            raise StoreError(f"{name} has another SHA-256 than in its manifest")
    created = datetime.fromtimestamp(present[MANIFEST].st_mtime, UTC)
    return Run(
        id=folder.name,
        key=key,
        path=folder,
        job=job,
        metrics=metrics,
        created=created.isoformat(timespec="seconds"),
        size=sum(entry.size for entry in manifest.files.values()),
    )


def _manifest(texts: Mapping[str, bytes]) -> Manifest:
    try:
        return Manifest.parse(_json(MANIFEST, texts), MANIFEST)
    except ConfigError as error:
        raise StoreError(str(error)) from error


def _sha256(path: Path, text: bytes | None) -> str:
    """Returns the SHA-256 of a file, whose bytes may have been read already."""
    return sha256(path) if text is None else hashlib.sha256(text).hexdigest()


def _check_schema(schema: object) -> None:
    if not isinstance(schema, int):
        raise StoreError(f"{JOB} has no schema_version")
    if schema != SCHEMA:
        if schema > SCHEMA:
            hint = "a newer version of adapterstilts wrote it: upgrade to use it"
        else:
            hint = "an older version of adapterstilts wrote it: use that version, or retrain it"
        raise _ForeignError(f"{JOB} has schema {schema}, but this version reads schema {SCHEMA}; {hint}")


def _job(folder: Path, fields: dict[str, Any]) -> tuple[Job, str]:
    """Returns the job in `job.json` and its key, which the file and the folder's name have to repeat.

    Raises:
        StoreError: The job is malformed, or it is not the job of this key.
    """
    _check_schema(fields.get("schema_version"))  # first, because other versions have other fields
    kind = fields.get("type")
    if kind not in ("train", "eval"):
        raise StoreError(f"{JOB} describes neither a training nor an evaluation")
    stored_key = fields.pop("key", None)  # part of the file, but not of the job that it is the key of
    try:
        job = (TrainJob if kind == "train" else EvalJob).parse(fields, JOB)
        # The key of the typed job: a value that pydantic converts, such as "1" for 1, changes it.
        key = job.key
    except (ConfigError, ValueError, RecursionError) as error:
        raise StoreError(str(error)) from error
    if stored_key != key:
        raise StoreError(f"{JOB} does not belong to its key")
    if RUN_NAME.fullmatch(folder.name) and not key.startswith(folder.name[-SHORT:]):
        raise StoreError(f"its folder was renamed: the name of this run ends in {key[:SHORT]}")
    return job, key


def _json(name: str, texts: Mapping[str, bytes]) -> dict[str, Any]:
    if name not in texts:
        raise StoreError(f"{name} is missing")
    return json_object(texts[name], name)
