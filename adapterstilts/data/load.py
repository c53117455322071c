"""Finds a task's data (explicit file, data folder, package or Hub) and loads it as canonical rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from adapterstilts.data.file_language import languages_of_file
from adapterstilts.data.fingerprint import fingerprint, sha256, subsample
from adapterstilts.data.hub import read_hub
from adapterstilts.data.items import HiddenLabelsError, Item, NoRowError, listed_items, unlisted_note
from adapterstilts.data.location import FOLDER_VARIABLE, DataLocation, Place, Search, SourceName, Span
from adapterstilts.data.release_files import read
from adapterstilts.data.retrieval_files import ORIGINS
from adapterstilts.data.rows import Row
from adapterstilts.data.table_columns import of_split
from adapterstilts.errors import ConfigError, DataError, MissingDataError, StiltsError
from adapterstilts.tasks.lookup import check_language, get_task
from adapterstilts.tasks.spec import Split, Task

__all__ = [
    "FOLDER_VARIABLE",
    "DataIndex",
    "DataLocation",
    "Loaded",
    "SourceName",
    "available",
    "find_data",
    "load",
]


@dataclass(frozen=True)
class Loaded:
    """Rows with their origin.

    Attributes:
        origin: Kind of source, file (with its SHA-256) or Hub dataset (with its commit), slice, limit and
            number of rows. Number of records without a gold label in the release ("dropped"). Number of
            rows in each language that the task does not list ("unlisted"). Whether labels are hidden, and
            the reason. Row at which the file ends inside the slice ("ended"). For a mixture, the same for
            each part.
        fingerprint: SHA-256 of the rows. Does not depend on their source.
    """

    rows: tuple[Row, ...]
    origin: Mapping[str, Any]
    fingerprint: str

    @property
    def hidden(self) -> bool:
        """Whether the release has no labels for the rows."""
        return self.origin.get("labels") == "hidden"

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns notes for the user: why rows have no labels, and which requested rows are missing."""
        origins = (self.origin, *self.origin.get("parts", ()))
        notes = [f"no labels: {self.origin['reason']}"] if self.hidden else []
        notes += [f"{part['file']}: {part['ended']}" for part in origins if "ended" in part]
        if dropped := self.origin.get("dropped", sum(part.get("dropped", 0) for part in origins)):
            notes.append(
                f"skipped {dropped} records that are not examples, such as those without a gold label"
            )
        notes += [unlisted_note(part["unlisted"]) for part in origins if "unlisted" in part]
        return tuple(notes)

    @property
    def place(self) -> str:
        """The file or Hub dataset; for a mixture, those of its parts."""
        parts = self.origin.get("parts") or [self.origin]
        return " + ".join(str(part.get("file") or part.get("repo")) for part in parts)


@dataclass(frozen=True, eq=False)
class DataIndex:
    """Where a task's data is: split and language -> the files found, or the Hub dataset.

    Each split and language is searched at the first use and remembered, so one verb uses one index. Data that
    appears later requires a new index.

    Attributes:
        parts: Indexes of a mixture's tasks. Empty for other tasks and for an explicit file.
    """

    task: Task
    location: DataLocation
    parts: tuple[DataIndex, ...] = ()
    _searches: dict[tuple[Split, str], Search] = field(default_factory=dict, repr=False)
    _labels: dict[tuple[Split, str], Literal["found", "hidden", "missing"]] = field(
        default_factory=dict, repr=False
    )

    def languages(self, split: Split, *, hidden: bool = False) -> tuple[str, ...]:
        """Returns the task's languages whose data was found, in the task's order.

        The language of an explicit file without `{lang}` is the code in its name. The Hub counts only if no
        other source is available. It is not contacted: the task's entry specifies what it has.

        Args:
            hidden: Whether files without labels, such as XTREME's test files, count as well.

        Raises:
            ConfigError: The name of an explicit file fits several languages.
            MissingDataError: An explicit file or the data folder does not exist.
        """
        task, location = self.task, self.location
        no_folder = location.source == "auto" and not task.bundled and not location.folders(task)
        if location.file is None and (location.source == "hub" or no_folder):
            return self.hub_languages(split)
        languages = task.languages
        if location.file is not None and "{lang}" not in location.file and len(languages) > 1:
            languages = languages_of_file(Span.parse(location.file, location.folders(task))[0], task)
        codes = tuple(code for code in languages if self.has(split, code, hidden))
        if location.file is not None and not codes:
            self.open(split, task.languages[0])  # raises the error if there is no such file
        return codes

    def load(
        self, split: Split, language: str, limit: int | None = None, seed: int = 1, *, hidden: bool = False
    ) -> Loaded:
        """Loads the rows of a split in one language, with labels.

        Args:
            limit: Maximum number of rows: a seeded subsample in the original order. For retrieval it limits
                the queries; all candidates stay.
            hidden: Whether a file without any labels is allowed. A file in which only some rows have no label
                is an error in either case.

        Raises:
            ConfigError: The task does not have the language, or the limit is below 1.
            DataError: The data is not valid; the message has file and line.
            MissingDataError: No data was found; the message lists the places searched.
        """
        check_language(self.task, language)
        try:
            return self.load_any_language(split, language, limit, seed)
        except HiddenLabelsError as error:
            if not hidden or self.task.parts:
                raise
            reason = error
        unlabelled = replace(self, task=self.task.model_copy(update={"hidden": True}))
        try:
            loaded = unlabelled.load_any_language(split, language, limit, seed)
        # Some of its rows have a label, so the file is damaged and not a release without labels
        except HiddenLabelsError:
            raise reason from None
        return replace(loaded, origin={**loaded.origin, "labels": "hidden", "reason": str(reason)})

    def load_any_language(
        self, split: Split, language: str, limit: int | None = None, seed: int = 1
    ) -> Loaded:
        """Loads rows like `load`, also in a language that only a translation of the task's data has."""
        if limit is not None and limit < 1:
            raise ConfigError(f"a limit of {limit} rows leaves no rows: pass at least 1")
        records, origin = self.open(split, language)
        items = list(records)
        rows = [row for item in items for row in item]
        if not rows:
            reason = f": none of its {len(items)} records has a gold label" if items else ""
            raise DataError(
                f"no labelled row of {self.task.name} in '{language}'{reason}",
                str(origin.get("file") or origin.get("repo") or "its parts"),
            )
        if origin.get("slice"):
            start, end = origin["slice"]
            if len(items) < end - start + 1:
                final = start + len(items) - 1
                origin["ended"] = f"rows {start}-{end} were requested, but the file ends at row {final}"
        sample = _subsample(rows, limit, seed)
        counts = {
            "limit": limit,
            "seed": seed if limit else None,
            "dropped": items.count(()),
            "rows": len(sample),
        }
        return Loaded(sample, {**origin, **counts}, fingerprint(sample))

    def hub_languages(self, split: Split) -> tuple[str, ...]:
        """Returns the languages of a split that the task's Hub dataset has, as its entry specifies."""
        task = self.task
        if self.task.parts:
            parts = [part.hub_languages(split) for part in self.parts]
            return tuple(code for code in task.languages if all(code in codes for codes in parts))
        if task.hub is None or split not in task.hub.splits or _offline():
            return ()
        return tuple(code for code in task.languages if code in (task.hub.languages or task.languages))

    def _search(self, split: Split, language: str) -> Search:
        key = (split, language)
        if key not in self._searches:
            self._searches[key] = Search.run(self.task, split, language, self.location)
        return self._searches[key]

    def has(self, split: Split, language: str, hidden: bool) -> bool:
        """Whether a split has local data in the language."""
        if self.parts:
            return all(part.has(split, language, hidden) for part in self.parts)
        place = self._search(split, language).place
        if place is None or place.kind != "folder":
            return place is not None
        key = (split, language)
        if key not in self._labels:
            self._labels[key] = _labels_of(place, self._task_of(split), language)
        return self._labels[key] == "found" or (hidden and self._labels[key] == "hidden")

    def _task_of(self, split: Split) -> Task:
        """Returns the task as the split reads it: every row of an explicit file is taken."""
        return of_split(self.task, None if self.location.file else split)

    def open(self, split: Split, language: str) -> tuple[Iterator[Item], dict[str, Any]]:
        """Returns the records of a split in one language, read as they are used, with their origin.

        The origin is complete after the last record.
        """
        if self.parts:
            return self._open_parts(split, language)
        task, location = self._task_of(split), self.location
        search = self._search(split, language)
        if place := search.place:
            span = list(place.span) if place.span else None
            origin: dict[str, Any] = {"kind": place.kind, "file": place.name, "slice": span}
            origin["sha256"] = sha256(place.paths)
            if task.form in ORIGINS:
                origin |= ORIGINS[task.form](place.paths[0], task, language)
            return place.cut(_unique(_chained(place.paths, task, language, origin))), origin
        tried = list(search.tried)
        if location.file is not None:
            raise MissingDataError(tried[0])
        if location.source in ("auto", "hub"):
            try:
                if _offline():
                    raise MissingDataError("the Hub was not searched because HF_HUB_OFFLINE is set")
                dataset = read_hub(task, split, language, location.revision)
                origin = {"kind": "hub", **dataset.origin}
                return _unique(listed_items(dataset.items, origin)), origin
            except MissingDataError as error:
                tried.append(str(error))
        raise _missing(task, split, language, tried)

    def _open_parts(self, split: Split, language: str) -> tuple[Iterator[Item], dict[str, Any]]:
        """Opens all parts of a mixture, in order; the part's name becomes a prefix of each row's id."""
        names = ", ".join(self.task.parts)
        if self.location.revision:
            raise ConfigError(
                f"{self.task.name} combines {names}, and one revision cannot name a commit of each: remove "
                "--data-revision, or pin each of them in a lock file (adapterstilts tasks lock)"
            )
        mixture: list[Item] = []
        origins = []
        for part, name in zip(self.parts, self.task.parts, strict=True):
            try:
                records, origin = part.open(split, language)
            except MissingDataError as error:
                raise MissingDataError(f"{self.task.name} combines {names}, but: {error}") from None
            items = [tuple(replace(row, id=f"{name}/{row.id}") for row in item) for item in records]
            counts = {"rows": sum(map(len, items)), "dropped": items.count(())}
            origins.append({"task": name, **origin, **counts})
            mixture += items
        return iter(mixture), {"kind": "mixture", "parts": origins}


def find_data(task: Task, location: DataLocation) -> DataIndex:
    """Returns the index of a task's data at a location. Nothing is searched before it is used."""
    # An explicit file replaces all parts of a mixture
    names = task.parts if location.file is None else ()
    return DataIndex(task, location, tuple(find_data(get_task(name), location) for name in names))


def load(
    task: Task,
    split: Split,
    language: str,
    location: DataLocation,
    limit: int | None = None,
    seed: int = 1,
    *,
    hidden: bool = False,
) -> Loaded:
    """Loads one split in one language; see `DataIndex.load`."""
    return find_data(task, location).load(split, language, limit, seed, hidden=hidden)


def available(task: Task, split: Split, location: DataLocation, *, hidden: bool = False) -> tuple[str, ...]:
    """Returns the languages of one split that have data; see `DataIndex.languages`."""
    return find_data(task, location).languages(split, hidden=hidden)


def _labels_of(place: Place, task: Task, language: str) -> Literal["found", "hidden", "missing"]:
    """Reads one record to see whether the file has labels, and rows of the language."""
    try:
        next(read(place.paths[0], task, language), None)
    except HiddenLabelsError:
        return "hidden"
    except MissingDataError:  # a file of several languages without this one
        return "missing"
    except StiltsError:
        pass  # the data exists, and loading it reports the error
    return "found"


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _chained(paths: Sequence[Path], task: Task, language: str, origin: dict[str, Any]) -> Iterator[Item]:
    """Yields the records of all files. A file without rows is an error only if all files have none."""
    empty: NoRowError | None = None
    has_rows = False
    for path in paths:
        try:
            for item in listed_items(read(path, task, language), origin):
                has_rows = True
                yield item
        except NoRowError as error:
            empty = empty or error
    if empty and not has_rows:
        raise empty


def _missing(task: Task, split: Split, language: str, tried: Sequence[str]) -> MissingDataError:
    if split == "train" and task.trained_on != task.name:
        reason = f"it is trained on {task.trained_on}" if task.trained_on else "no task trains it"
        return MissingDataError(f"{task.name} has no training data of its own: {reason}")
    option = "--train-file" if split == "train" else "--eval-file"
    return MissingDataError(
        f"no {split} data of {task.name} in '{language}' found. Required: {task.obtain} "
        f"Searched: {'; '.join(tried) or 'nothing'}. Pass "
        f"--data-dir FOLDER (or set {FOLDER_VARIABLE}) or {option} PATH."
    )


def _unique(items: Iterator[Item]) -> Iterator[Item]:
    """Yields the records with unique ids: repeated ids get the suffixes `#2`, `#3` and so on."""
    times: dict[str, int] = {}
    for item in items:
        rows = []
        for row in item:
            row_id = row.id
            while row_id in times:
                times[row.id] += 1
                row_id = f"{row.id}#{times[row.id]}"
            times[row_id] = 1
            rows.append(row if row_id == row.id else replace(row, id=row_id))
        yield tuple(rows)


def _subsample(rows: list[Row], limit: int | None, seed: int) -> tuple[Row, ...]:
    # Only queries count towards the limit of a retrieval task: each needs all candidates
    countable = [n for n, row in enumerate(rows) if getattr(row, "side", "query") == "query"]
    sample = {countable[n] for n in subsample(len(countable), limit, seed)}
    skipped = set(countable) - sample
    return tuple(row for n, row in enumerate(rows) if n not in skipped)
