"""The items that readers yield, and the errors that they raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from adapterstilts.data.converters import MalformedError
from adapterstilts.data.file_bytes import is_parquet
from adapterstilts.data.rows import Row
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

Item = tuple[Row, ...]  # the rows of one record: none where it has no gold label, two in retrieval
Reader = Callable[[Path, Task, str], Iterator[Item]]


class Unlisted(tuple[Row, ...]):
    """An item without rows: a record in a language that the task does not list.

    Attributes:
        language: The language as the record names it.
    """

    language: str

    def __new__(cls, language: str) -> Self:
        """An empty item with its language."""
        item = super().__new__(cls)
        item.language = language
        return item


class HiddenLabelsError(DataError):
    """A file that is released without its labels."""


class NoRowError(DataError):
    """A valid file without a row of the task in the language."""


def located(error: MalformedError, path: Path | str, line: int | None) -> DataError:
    """Returns the error with the record's place: its line, or its number in a Parquet file."""
    if line is not None and is_parquet(Path(path)):
        path, line = f"{path}, row {line}", None
    return (HiddenLabelsError if error.hidden else DataError)(str(error), path, line)


def listed_items(items: Iterator[Item], origin: dict[str, Any]) -> Iterator[Item]:
    """Yields items in the task's languages. Other items are counted in the origin, as "unlisted"."""
    for item in items:
        if isinstance(item, Unlisted):
            counts = origin.setdefault("unlisted", {})
            counts[item.language] = counts.get(item.language, 0) + 1
        else:
            yield item


def unlisted_note(counts: Mapping[str, int]) -> str:
    """Returns the note on rows in languages that the task does not list."""
    names = [f"{language or 'none'} ({rows})" for language, rows in counts.items()]
    languages = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"skipped the rows in languages that the task does not list: {languages}"
