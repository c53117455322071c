"""Rows of a file: `#first-last` after its path, counted from 1, both included."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from adapterstilts.data.items import Item
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.paths import expanded


class Span(NamedTuple):
    """Rows of a file, counted from 1, both ends included."""

    first: int
    last: int


def parse_slice(template: str, roots: Sequence[Path] = ()) -> tuple[str, Span | None]:
    """Takes `#first-last` off a path.

    A file's name may hold `#` itself: what follows it is no slice where there is such a file, or where it
    looks like the rest of a name.

    Args:
        roots: The folders beside the current one that the path may be relative to.

    Raises:
        ConfigError: what follows `#` is not two row numbers in order.
    """
    path, mark, rows = template.rpartition("#")
    if not mark or re.search(r"[/.{]", rows):
        return template, None
    if any((root / expanded(template)).is_file() for root in (Path(), *roots)):
        return template, None
    numbers = re.fullmatch(r"([0-9]{1,12})-([0-9]{1,12})", rows)
    span = Span(int(numbers[1]), int(numbers[2])) if numbers else None
    if span is None or not 1 <= span.first <= span.last:
        raise ConfigError(f"{template}: rows are given as #first-last, from 1 on (#1-2000), not as #{rows}")
    return path, span


def cut(items: Iterator[Item], span: Span | None, path: Path, to_the_end: bool) -> Iterator[Item]:
    """The records of the slice; rows beyond it are not even read.

    Args:
        to_the_end: Whether a file that ends inside the slice gives what it has.

    Raises:
        DataError: the file ends before the slice begins, or inside it.
    """
    if span is None:
        yield from items
        return
    last_read = span.first - 1
    for item in islice(items, span.first - 1, span.last):
        last_read += 1
        yield item
    if last_read < (span.first if to_the_end else span.last):
        raise DataError(f"rows {span.first}-{span.last} were requested, but the file has fewer", path)


def ended_early(span: Sequence[int], rows: int) -> str | None:
    """What to say of a file that ends inside the slice; None where it does not."""
    first, last = span
    if rows == last - first + 1:
        return None
    return f"rows {first}-{last} were requested, but the file ends at row {first + rows - 1}"
