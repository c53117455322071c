"""Reads text files strictly: UTF-8 or an error that names the file and the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapterstilts.errors import DataError

BOM = "\ufeff"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file, numbered from 1, without line ends and byte order mark.

    Only a line feed (after a carriage return or not) ends a line: other characters that Unicode counts as
    line ends occur inside sentences. Empty lines at the end of the file are left out.

    Raises:
        DataError: an empty or unreadable file, a byte that is not UTF-8, or a NUL.
    """
    waiting: list[int] = []  # empty lines that may turn out to be the end
    last = 0
    for number, line in _decoded(path):
        if not line:
            waiting.append(number)
            continue
        yield from ((empty, "") for empty in waiting)
        waiting.clear()
        last = number
        yield number, line
    if not last:
        raise DataError("the file is empty", path)


def _decoded(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield number, _decode(raw, path, number)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path) from None


def _decode(raw: bytes, path: Path, number: int) -> str:
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
        DataError: a line that is not a JSON object.
    """
    for number, line in numbered_lines(path):
        value = _parse(line, path, number)
        if not isinstance(value, dict):
            raise DataError("not a JSON object", path, number)
        yield number, value


def json_file(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        DataError: not JSON; the line is named.
    """
    return _parse("\n".join(line for _, line in numbered_lines(path)), path, None)


def _parse(text: str, path: Path, number: int | None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = error.lineno if number is None else number
        raise DataError(f"not valid JSON: {error.msg} (column {error.colno})", path, line) from None
    except RecursionError:
        raise DataError("not valid JSON: nested too deep", path, number) from None


def tsv_records(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Records of a tab-separated file with a header, with their lines; quote characters are text.

    Raises:
        DataError: a record with more or fewer fields than the header.
    """
    lines = numbered_lines(path)
    header = next(lines)[1].split("\t")
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            message = f"{len(fields)} tab-separated columns where the header has {len(header)}"
            raise DataError(message, path, number)
        yield number, dict(zip(header, fields, strict=True))


def continued_records(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """As `tsv_records`, but a record with too few fields goes on in the next line, after a space.

    Where the first column is the id, a record begins with a number: else a stray line would become a part of
    the record after it.

    Raises:
        DataError: lines that make up no record; the first of them is named.
    """
    lines = numbered_lines(path)
    header = next(lines)[1].split("\t")
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
            message = f"{len(fields)} tab-separated columns where the header has {len(header)}"
            raise DataError(message + (f", up to line {number}" if number > start else ""), path, start)
        if len(fields) == len(header):
            yield start, dict(zip(header, fields, strict=True))
            parts = []
    if parts:
        raise DataError("the record that begins here has too few columns, and the file ends", path, start)


def csv_records(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Records of a comma-separated file with header and quoted fields, with the line each ends on.

    Raises:
        DataError: broken quoting, or a record with more or fewer fields than the header.
    """
    reader = csv.reader((line + "\n" for _, line in numbered_lines(path)), strict=True)
    try:
        header = next(reader)
        for fields in reader:
            if len(fields) != len(header):
                message = f"{len(fields)} fields where the header has {len(header)}"
                raise DataError(message, path, reader.line_num)
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(f"not valid CSV: {error}", path, reader.line_num) from None
