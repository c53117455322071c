"""Lines of text for prediction, one at a time: strictly UTF-8, of bounded length, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from adapterstilts.errors import DataError

LONGEST = 1_000_000  # bytes of one line: what its subwords and windows take in memory is a hundred times that
DIGITS = 4000  # of a number in JSON; Python itself refuses to read a few hundred more


def file_lines(path: Path) -> Iterator[str]:
    """The lines of a file, read as they are asked for, without line ends and byte order mark.

    Raises:
        DataError: see `stream_lines`; or the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            yield from stream_lines(stream, str(path))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path) from None


def stream_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a stream of bytes, without line ends and byte order mark.

    Only a line feed, after a carriage return or not, ends a line.

    Raises:
        DataError: a byte that is not UTF-8, a NUL, a line that is too long, or a carriage return inside one.
    """
    number = 0
    while raw := stream.readline(LONGEST + 3):
        number += 1
        if len(raw.rstrip(b"\r\n")) > LONGEST:
            raise DataError(f"the line is longer than {LONGEST:,} bytes: split the text", name, number)
        yield _decoded(raw, name, number)


def _decoded(raw: bytes, name: str, number: int) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw:
        raise DataError("not UTF-8 text (UTF-16, or not a text file): convert it to UTF-8", name, number)
    try:
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
        raise DataError(f"cannot be read as UTF-8 text ({byte}): convert it to UTF-8", name, number) from None
    line = line.removesuffix("\n").removesuffix("\r")
    if "\r" in line:
        raise DataError(
            "a carriage return inside the line (old Mac line ends?): end lines with a line feed", name, number
        )
    return line


def is_json_lines(name: str) -> bool:
    """Whether a file's name says that each of its lines is JSON."""
    return name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson", ".json"))


def json_object(line: str) -> dict[str, Any]:
    """The JSON object that a line holds.

    Raises:
        ValueError: not an object, a key twice, NaN or infinity, too deep, or a number of too many digits.
    """
    try:
        value = json.loads(line, object_pairs_hook=_once, parse_constant=_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("not valid JSON: nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return fields


def _constant(name: str) -> NoReturn:
    raise ValueError(f"not valid JSON: {name} is no number")


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)
