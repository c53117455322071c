"""Reads JSON from untrusted sources: bounded in size, depth and numbers, without repeated keys."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from adapterstilts.errors import StiltsError
from adapterstilts.terminal_text import shown

DIGITS = 40  # longest whole number; transformers itself writes one of 31 digits
SURROGATE = re.compile("[\ud800-\udfff]")
SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a JSON file may be.

    Attributes:
        size: Bytes of the file.
        depth: Lists and objects inside one another.
        values: Numbers, texts, lists and objects in the file, at any depth.
    """

    size: int = 4 * MEGABYTE
    depth: int = 16
    values: int = 500_000


DEFAULT = Limits()


def read_bytes(path: Path, size: int, error: type[StiltsError]) -> bytes:
    """Reads an ordinary file of at most `size` bytes.

    A pipe, a device or a folder under the file's name is refused without waiting for its content.

    Raises:
        error: The file is not found, not an ordinary file, too large, or not readable.
    """
    # O_NONBLOCK: opening a pipe would wait for a writer, who may never come.
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(f"{path} is not an ordinary file")
            if status.st_size > size:
                raise error(f"{path} is too large: {status.st_size:,} bytes, at most {size:,} are read")
            data = file.read(size + 1)
    except FileNotFoundError:
        raise error(f"{path} was not found") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read: {problem}") from None
    if len(data) > size:  # the file grew in the meantime, or its file system reports no size
        raise error(f"{path} is too large: at most {size:,} bytes are read")
    return data


def read_object(path: Path, error: type[StiltsError], limits: Limits = DEFAULT) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        error: See `read_bytes` and `parse_object`.
    """
    return parse_object(read_bytes(path, limits.size, error), path, error, limits)


def parse_object(
    data: bytes, source: str | Path, error: type[StiltsError], limits: Limits = DEFAULT
) -> dict[str, Any]:
    """Parses one JSON object.

    Args:
        data: Text in UTF-8.
        source: Name of the file, for messages.

    Raises:
        error: Not JSON in UTF-8, not an object, deeper or longer than `limits`, a repeated key, a number
            that is not finite or has too many digits, or half of a surrogate pair.
    """
    value = parse(data, source, error, limits)
    if not isinstance(value, dict):
        raise error(f"{source} does not hold a JSON object")
    return value


def parse(data: bytes, source: str | Path, error: type[StiltsError], limits: Limits = DEFAULT) -> Any:
    """Parses one JSON value; see `parse_object`."""
    if len(data) > limits.size:
        raise error(f"{source} is too large: {len(data):,} bytes, at most {limits.size:,} are read")
    if (
        data.count(b",") + data.count(b"[") + data.count(b"{") > limits.values
    ):  # counted first: each value takes memory
        raise error(f"{source} holds more than {limits.values:,} values")
    try:
        value = loads(data.decode("utf-8"))
    except json.JSONDecodeError as problem:
        raise error(f"{source}, line {problem.lineno}: damaged, {problem.msg}") from None
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise error(f"{source}, line {line}: damaged, not UTF-8") from None
    except _TooDeepError:
        raise error(f"{source} is nested more than {limits.depth} deep") from None
    except ValueError as problem:
        raise error(f"{source} is damaged: {problem}") from None
    if _depth_exceeds(value, limits.depth):
        raise error(f"{source} is nested more than {limits.depth} deep")
    if SURROGATE_ESCAPE.search(data) and half_pair(value):
        raise error(f"{source} is damaged: it holds half of a surrogate pair")
    return value


class _TooDeepError(ValueError):
    """Lists and objects are nested deeper than Python can parse."""


def loads(text: str, digits: int = DIGITS) -> Any:
    """Parses standard JSON without repeated keys. All readers of untrusted JSON use this.

    Args:
        digits: Length of the longest whole number that is accepted.

    Raises:
        JSONDecodeError: Not JSON.
        _TooDeepError: Deeper nesting than Python can parse.
        ValueError: A repeated key, or a number that is not finite or has too many digits.
    """

    def whole(number: str) -> int:
        # Converting digits to an integer takes quadratic time.
        if len(number) > digits:
            raise ValueError(f"a number of {len(number):,} digits")
        return int(number)

    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=whole,
            parse_float=_finite,
            parse_constant=_constant,
        )
    except RecursionError:
        raise _TooDeepError("nested too deep") from None


def _depth_exceeds(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` deep."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def half_pair(value: Any) -> str | None:
    """Returns the place of half a surrogate pair ("field 'name'", "a key" or "the text"), or None."""
    # UTF-8 cannot represent such a character, so writing it would fail later.
    queue: list[tuple[str, Any]] = [("the text", value)]
    while queue:
        name, value = queue.pop()
        if isinstance(value, str) and SURROGATE.search(value):
            return name
        if isinstance(value, list):
            queue += [(name, item) for item in value]
        elif isinstance(value, dict):
            queue += [("a key", key) for key in value]
            queue += [(f"field '{shown(key)}'", item) for key, item in value.items()]
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree about which of two equal keys counts, so a check could see another one than its user.
    result = dict(pairs)
    if len(result) != len(pairs):
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                raise ValueError(f"the key '{shown(key)}' occurs twice in one object")
            keys.add(key)
    return result


def _finite(text: str) -> float:
    value = float(text)  # 1e999 is infinite
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is not finite")
    return value


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
