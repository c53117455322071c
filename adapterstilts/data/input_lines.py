"""Reads lines of text for prediction, one at a time: strictly UTF-8, of bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from gzip import GzipFile
from typing import IO

from adapterstilts.data import text
from adapterstilts.errors import DataError

LONGEST = 1_000_000  # bytes of one line: what its subwords and windows take in memory is a hundred times that


def stream_lines(stream: IO[bytes] | GzipFile, name: str) -> Iterator[str]:
    """Yields the lines of a stream of bytes, without line ends and byte order mark.

    Only a line feed, after a carriage return or not, ends a line.

    Raises:
        DataError: A byte that is not UTF-8, a NUL, a line that is too long, or a carriage return inside one.
    """
    for number, line, _ in text.stream_lines(stream, name, LONGEST):
        if "\r" in line:
            raise DataError(f"a carriage return inside the line: {text.OLD_MAC}", name, number)
        yield line
