"""What a reader yields, and the errors that it raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from adapterstilts.data.file_bytes import is_parquet
from adapterstilts.data.records import MalformedError
from adapterstilts.data.rows import Row
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

Item = tuple[Row, ...]  # the rows of one record: none where it has no gold label, two in retrieval
Reader = Callable[[Path, Task, str], Iterator[Item]]  # of a file of this task in one language


class HiddenLabelsError(DataError):
    """A file that is handed out without its labels."""


class NoRowError(DataError):
    """A file that is in order but holds no row of the task in the language."""


def located(error: MalformedError, path: Path | str, line: int | None) -> DataError:
    """What is wrong with a record, with its place: its line, or its number in a Parquet file."""
    if line is not None and is_parquet(Path(path)):
        path, line = f"{path}, row {line}", None
    return (HiddenLabelsError if error.hidden else DataError)(str(error), path, line)
