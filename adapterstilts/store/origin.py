"""A run's `origin.json`: where its backbone and its data came from, checked before any of it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from adapterstilts.bounded_json import MEGABYTE, Limits, read_object
from adapterstilts.errors import ConfigError, DamagedError, StoreError
from adapterstilts.store.files import ORIGIN, disk_errors, write_whole
from adapterstilts.tasks.citations import Credit
from adapterstilts.values import Value, canonical

LIMITS = Limits(size=16 * MEGABYTE)
COMMIT_DIGITS = 12  # hex digits of a commit in tables and messages
# A pulled run's origin was written by a stranger, and its names end up in messages and on cards.
LONGEST = 4_096
Text = Annotated[str, Field(max_length=LONGEST)]


def _check_record(record: Any) -> Any:
    """Checks a record of rows, or of their parts at any depth, in the fields that others rely on."""
    if isinstance(record, list):
        for part in record:
            _check_record(part)
    if not isinstance(record, Mapping):
        return record
    # The leak guard compares rows of files by their digest and slice, so neither may be malformed.
    if "sha256" in record and not (_is_text(record["sha256"]) and _is_slice(record.get("slice", ()))):
        raise ValueError("a record of a file has no valid sha256 and slice")
    for name in {"file", "commit"} & record.keys():
        if not (record[name] is None or _is_text(record[name])):
            raise ValueError(f"'{name}' of a record of rows should be a text of at most {LONGEST} characters")
    for name in {"limit", "seed", "dropped"} & record.keys():
        if not (record[name] is None or _is_count(record[name])):
            raise ValueError(f"'{name}' of a record of rows should be a whole number")
    for part in record.values():
        _check_record(part)
    return record


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_count(value: Any) -> bool:
    # `type`, because isinstance(True, int).
    return type(value) is int and 0 <= value < 2**53


def _is_slice(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)))


def _check_credit(credit: Credit) -> Credit:
    if any(value is not None and len(value) > LONGEST for value in credit.model_dump().values()):
        raise ValueError(f"should have at most {LONGEST} characters in each field")
    return credit


# The record that `data/load.py` makes of rows: kind of source, file and its digest, slice, counts ...
Rows = Annotated[Mapping[str, Any], AfterValidator(_check_record)]


class BackboneOrigin(Value):
    """The backbone that a run was trained on.

    Attributes:
        name: Name or Hub id of the backbone, or the absolute path of its folder.
        commit: Commit on the Hub; None for a folder and for the bundled backbone.
        fingerprint: Digest of the encoder's files.
        tokenizer: Digest of the tokenizer's files, None if unknown.
    """

    name: Text
    commit: Text | None
    fingerprint: Text
    tokenizer: Text | None = None


class FileRows(Value):
    """Rows of a file that were trained on.

    Attributes:
        sha256: SHA-256 (hex) of the file.
        slice: Numbers of the first and the last row; the last is out of reach where all rows were used.
    """

    sha256: Text
    slice: tuple[int, int]


class Ancestors(Value):
    """The training data of the runs that a run was built on, of their sources, and so on.

    Attributes:
        files: Rows of files that they were trained on.
        unknown: Sentences that describe what could not be determined.
        credits: Data sets to credit.
    """

    files: tuple[FileRows, ...] = ()
    unknown: tuple[Text, ...] = ()
    credits: tuple[Annotated[Credit, AfterValidator(_check_credit)], ...] = ()


class PulledFrom(Value):
    """The repository on the Hub that a run was pulled from, and its commit (hex)."""

    repo: Text
    commit: Text

    def __str__(self) -> str:
        """For tables and reports: `owner/name@0123456789ab`."""
        return f"{self.repo}@{self.commit[:COMMIT_DIGITS]}"


class _Origin(Value):
    """Common to the origins of trainings and evaluations: reading and writing the file."""

    @classmethod
    def parse(cls, data: Mapping[str, Any], kind: str | None = None) -> Self:
        """Checks untrusted data; keys that this version does not know are ignored.

        Raises:
            ConfigError: A key is missing or has an invalid value.
        """
        return super().parse({name: data[name] for name in cls.model_fields if name in data}, kind or ORIGIN)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Reads the origin of the run in a folder; None if it has none.

        Raises:
            DamagedError: The file is not JSON or malformed.
        """
        path = folder / ORIGIN
        if not path.is_file():
            return None
        try:
            return cls.parse(read_object(path, StoreError, LIMITS))
        except (StoreError, ConfigError) as error:
            raise DamagedError(f"run {folder.name} is damaged: {error}", folder.name) from None

    @classmethod
    def require(cls, folder: Path) -> Self:
        """Like `read`, for runs that need an origin.

        Raises:
            DamagedError: The file is missing, not JSON, or malformed.
        """
        origin = cls.read(folder)
        if origin is None:
            raise DamagedError(f"run {folder.name} is damaged: it has no {ORIGIN}", folder.name)
        return origin

    def write(self, folder: Path) -> None:
        """Writes the file into the folder of a run that is about to be published.

        Raises:
            StoreError: The disk is full.
        """
        with disk_errors(folder):
            write_whole(folder / ORIGIN, (canonical(self) + "\n").encode("utf-8"))


class TrainOrigin(_Origin):
    """The origin of a trained, merged or pulled run.

    Attributes:
        backbone: The backbone that it was trained on.
        language_adapter: Reference of the language adapter below it, as it was passed; `{lang}` in it is
            replaced by each evaluated language.
        tasks: Definitions of custom tasks, and of tasks whose labels were read off the data, by name.
        data: Task -> split ("train", "dev", "translated") -> record of its rows.
        ancestors: The training data of the runs that it was built on.
        pulled: The repository that it was pulled from; None for runs of this store.
    """

    backbone: BackboneOrigin
    language_adapter: Text | None = None
    tasks: Mapping[str, Mapping[str, Any]] = {}
    data: Mapping[str, Mapping[str, Rows]] = {}
    ancestors: Ancestors = Ancestors()
    pulled: PulledFrom | None = None


class EvalOrigin(_Origin):
    """The origin of an evaluation.

    Attributes:
        data: Record of the evaluated rows.
        leak: Counts of evaluated items that were trained on, as in `run/leak_guard.py`.
    """

    data: Rows = Field(default_factory=dict)
    leak: Mapping[str, Any] = {}
