"""Reads text files strictly: UTF-8 (plain or gzip) or an error that names the file and the line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from gzip import GzipFile
from itertools import count
from pathlib import Path
from typing import IO, Any

from adapterstilts.bounded_json import half_pair, loads
from adapterstilts.data.file_bytes import opened
from adapterstilts.errors import DataError

BOM = "\ufeff"
LONGEST_LINE = 16 << 20  # bytes: a longer record is damage, and would take memory many times over
DIGITS = 4000  # maximum length of a whole number in JSON; Python itself refuses to convert a few hundred more
HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")
OLD_MAC = "old Mac line ends (carriage returns alone): convert them to line feeds"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a UTF-8 file, numbered from 1, without line ends and byte order mark.

    Only a line feed (after a carriage return or not) ends a line: other characters that Unicode counts as
    line ends occur inside sentences. Empty lines at the end of the file are skipped.

    Raises:
        DataError: An empty or unreadable file, a byte that is not UTF-8, a NUL, a line longer than
            `LONGEST_LINE`, or a file whose lines end in carriage returns alone.
    """
    waiting: list[int] = []  # empty lines that may turn out to be the end
    final = 0
    for number, line, ended in _file_lines(path, LONGEST_LINE):
        if not line:
            waiting.append(number)
            continue
        if number == 1 and not ended and "\r" in line:
            raise DataError(OLD_MAC, path, 1)
        yield from ((empty, "") for empty in waiting)
        waiting.clear()
        final = number
        yield number, line
    if not final:
        raise DataError("the file is empty", path)


def _file_lines(path: Path, longest: int) -> Iterator[tuple[int, str, bool]]:
    with opened(path) as file:
        yield from stream_lines(file, path, longest)


def stream_lines(
    file: IO[bytes] | GzipFile, path: Path | str, longest: int
) -> Iterator[tuple[int, str, bool]]:
    """Each line of a stream with its number, and whether a line feed ends it.

    Args:
        path: Name of the stream, for messages.
        longest: Bytes of the longest line that is accepted.

    Raises:
        DataError: A longer line, a byte that is not UTF-8, or a NUL.
    """
    for number in count(1):
        raw = file.readline(longest + 3)  # a line feed after a carriage return, and one byte more
        if not raw:
            return
        if len(raw.rstrip(b"\r\n")) > longest:
            raise DataError(f"a line of more than {longest:,} bytes: split the text", path, number)
        yield number, _decode(raw, path, number), raw.endswith(b"\n")


def _decode(raw: bytes, path: Path | str, number: int) -> str:
    if b"\0" in raw:
        raise DataError("a NUL byte: the file is damaged or not UTF-8 text", path, number)
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
        raise DataError(f"not UTF-8 ({byte}): convert the file to UTF-8", path, number) from None
    line = line.removeprefix(BOM) if number == 1 else line
    return line.removesuffix("\n").removesuffix("\r")


def json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Objects of a JSON lines file with their line numbers.

    Raises:
        DataError: A line that is not a JSON object.
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            raise DataError("not valid JSON: an empty line", path, number)
        if number == 1 and line.strip() in ("{", "["):
            raise DataError(
                "not valid JSON: the value continues in the next line, but JSON lines hold one object a line",
                path, number,
            )  # fmt: skip
        yield number, json_object(line, path, number)


def json_object(line: str, path: Path | str, number: int) -> Mapping[str, Any]:
    """Returns the object of one line of a JSON lines file.

    Raises:
        DataError: The line is not a JSON object.
    """
    value = parse_json(line, path, number)
    if isinstance(value, list):
        raise DataError("not a JSON object but an array: JSON lines hold one object a line", path, number)
    if not isinstance(value, dict):
        raise DataError("not a JSON object", path, number)
    return value


def parse_json(text: str, path: Path | str, number: int | None) -> Any:
    """Returns the value of a JSON text.

    Args:
        number: The line of the file that the text is, or None if it is the whole file.

    Raises:
        DataError: Not JSON, or JSON that no text can hold; file and line are named.
    """
    try:
        value = loads(text, DIGITS)
    except json.JSONDecodeError as error:
        line = error.lineno if number is None else number
        raise DataError(f"not valid JSON: {error.msg} (column {error.colno})", path, line) from None
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", path, number) from None
    mark = HALF.search(text)
    if mark and (half := half_pair(value)):
        line = text.count("\n", 0, mark.start()) + 1 if number is None else number
        raise DataError(f"{half} holds half of a surrogate pair", path, line)
    return value


def check_header(names: Sequence[str], path: Path | str, line: int | None = None) -> None:
    """Rejects a table's header with ambiguous columns.

    Raises:
        DataError: Two columns of one name, a line end inside a name, or a single name that holds what
            separates columns in other tables.
    """
    separator = next((mark for mark in "\t;,|" if len(names) == 1 and mark in names[0]), None)
    if separator:
        raise DataError(
            f"a header of one column, {names[0][:60]!r}: {separator!r} does not separate columns here, where "
            "TSV has tabs and CSV commas", path, line,
        )  # fmt: skip
    repeated = dict.fromkeys(name for name in names if name and names.count(name) > 1)
    if repeated:
        raise DataError(f"two columns are named {', '.join(map(repr, repeated))}: rename one", path, line)
    if any("\r" in name for name in names):
        raise DataError(f"a carriage return inside the header: {OLD_MAC}", path, line)


def tsv_records(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yields the records of a tab-separated file with a header, with their lines; quote characters are text.

    Raises:
        DataError: A record with more or fewer fields than the header, or a column name that repeats.
    """
    lines = numbered_lines(path)
    start, first = next(lines)
    header = first.split("\t")
    check_header(header, path, start)
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            message = f"{len(fields)} tab-separated columns, but the header has {len(header)}"
            raise DataError(message, path, number)
        yield number, dict(zip(header, fields, strict=True))


def continued_records(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Like `tsv_records`, but a record with too few fields continues in the next line, after a space.

    Where the first column is the id, a record begins with a number: else a stray line would become a part of
    the record after it.

    Raises:
        DataError: Lines that make up no record; the first of them is named.
    """
    lines = numbered_lines(path)
    header = next(lines)[1].split("\t")
    check_header(header, path, 1)
    parts: list[str] = []
    start = 0
    for number, line in lines:
        start = start if parts else number
        parts.append(line)
        fields = " ".join(parts).split("\t")
        if header[0] == "id" and line and not fields[0].isdecimal():
            message = f"a record begins with its id, a number, not with {fields[0][:40]!r}"
            raise DataError(message, path, number)
        if len(fields) > len(header) or parts == [""]:
            message = f"{len(fields)} tab-separated columns, but the header has {len(header)}"
            raise DataError(message + (f", up to line {number}" if number > start else ""), path, start)
        if len(fields) == len(header):
            yield start, dict(zip(header, fields, strict=True))
            parts = []
    if parts:
        raise DataError("the record that begins here has too few columns, but the file ends", path, start)


def csv_records(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yields the records of a comma-separated file with header and quoted fields, with the line each ends on.

    Raises:
        DataError: Broken quoting, a record with more or fewer fields than the header, or a column name that
            repeats.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # contexts are longer than csv's 128 KiB
    reader = csv.reader((line + "\n" for _, line in numbered_lines(path)), strict=True)
    start = 1
    try:
        header = next(reader)
        check_header(header, path, 1)
        start = reader.line_num + 1
        for fields in reader:
            if len(fields) != len(header):
                message = f"{len(fields)} fields, but the header has {len(header)}"
                raise DataError(message, path, reader.line_num)
            yield reader.line_num, dict(zip(header, fields, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        suffix = f", in the record that ends in line {reader.line_num}" if reader.line_num > start else ""
        raise DataError(f"not valid CSV: {error}{suffix}", path, start) from None
