"""The only reader of safetensors headers: checked before the library parses them, which can take minutes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from adapterstilts.bounded_json import Limits, parse_object
from adapterstilts.errors import StiltsError
from adapterstilts.terminal_text import shown

MOST_TENSORS = 20_000  # the largest encoder here has some 500, nine adapters and their fusion some 2,000
LARGEST_HEADER = 4 * 2**20  # bytes
LIMITS = Limits(size=LARGEST_HEADER, depth=4)
METADATA = "__metadata__"
BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
FORMATS = (None, "pt", "mlx")  # others store some matrices transposed
FLOATS = frozenset({"F32", "F16", "BF16"})  # every value of these is a finite float32 or no number


class Entry(NamedTuple):
    """What the header says of one tensor.

    Attributes:
        dtype: Its type as safetensors names it, such as F32.
        shape: Its size along each axis.
        start, end: Its bytes, counted from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(
    path: Path, error: type[StiltsError], dtypes: frozenset[str] = frozenset(BYTES)
) -> dict[str, Entry]:
    """Reads and checks the header of a safetensors file; no tensor is read.

    Args:
        dtypes: types that a tensor may have.

    Raises:
        error: it is not a file of safetensors, its header is too large, or a tensor is of another type, has
            another size than its shape says, overlaps another or leaves a hole.
    """
    data, room = _header_bytes(path, error)
    header = parse_object(data, f"the header of {path}", error, LIMITS)
    metadata = header.pop(METADATA, {})
    name = metadata.get("format") if isinstance(metadata, dict) else metadata
    if name not in FORMATS:
        raise error(f"{path} has the format {shown(name, 40)!r}: convert it to PyTorch's, which is 'pt'")
    if len(header) > MOST_TENSORS:
        raise error(f"{path} holds {len(header):,} tensors, at most {MOST_TENSORS:,} are read")
    try:
        entries = dict(_entries(header, dtypes))
        _check_places(entries, room)
    except ValueError as problem:
        raise error(f"{path} is damaged or truncated: {problem}") from None
    return entries


def _header_bytes(path: Path, error: type[StiltsError]) -> tuple[bytes, int]:
    """The header, and how many bytes of tensors follow it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(f"{path} is not an ordinary file")
            length = int.from_bytes(file.read(8), "little")
            room = status.st_size - 8 - length
            if status.st_size < 8 or room < 0:
                raise error(
                    f"{path} is damaged or truncated, or not a safetensors file: its header is "
                    "longer than the file"
                )
            if length > LARGEST_HEADER:
                raise error(
                    f"{path} has a header of {length:,} bytes, at most {LARGEST_HEADER:,} are read: "
                    "too many tensors"
                )
            return file.read(length), room
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem}") from None


def _entries(header: Mapping[str, Any], dtypes: frozenset[str]) -> Iterator[tuple[str, Entry]]:
    for key, value in header.items():
        name = shown(key)
        if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"{name} is not described by a type, a shape and offsets")
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or dtype not in dtypes:
            known = ", ".join(sorted(dtypes))
            raise ValueError(f"{name} is of the type {shown(dtype, 40)!r}, only {known} are read")
        if not (_sizes(shape) and len(shape) <= 8 and _sizes(offsets) and len(offsets) == 2):
            raise ValueError(f"{name} has no valid shape or offsets")
        if offsets[1] - offsets[0] != prod(shape) * BYTES[dtype]:
            raise ValueError(f"{name} has another size than its shape {shape} says")
        yield key, Entry(dtype, tuple(shape), *offsets)


def _check_places(entries: Mapping[str, Entry], room: int) -> None:
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != end:
            raise ValueError(f"{shown(name)} overlaps another tensor or leaves a hole before it")
        end = entry.end
    if end != room:
        raise ValueError(f"its tensors have {end:,} bytes, not {room:,}")


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**48 for size in value)
