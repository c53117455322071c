"""The header of a safetensors file, checked before the library parses it, which can take minutes."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from adapterstilts.bounded_json import Limits, parse_object
from adapterstilts.errors import StiltsError

MOST_TENSORS = 20_000  # the largest encoder here has some 500, nine adapters and their fusion some 2,000
LARGEST_HEADER = 4 * 2**20  # bytes
LIMITS = Limits(size=LARGEST_HEADER, depth=4)
METADATA = "__metadata__"
BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
FLOATS = frozenset({"F32", "F16", "BF16"})  # every value of these is a finite float32 or no number


class TensorEntry(NamedTuple):
    """What the header says of one tensor: its type as safetensors names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def read_header(
    path: Path, error: type[StiltsError], dtypes: frozenset[str] = frozenset(BYTES)
) -> dict[str, TensorEntry]:
    """Reads and checks the header of a safetensors file; no tensor is read.

    Args:
        dtypes: types that a tensor may have.

    Raises:
        error: it is not a file of safetensors, its header is too large, or a tensor is of another type,
            or of another size than the file has room for.
    """
    data, room = _header_bytes(path, error)
    entries = parse_object(data, f"the header of {path}", error, LIMITS)
    entries.pop(METADATA, None)
    if len(entries) > MOST_TENSORS:
        raise error(f"{path} holds {len(entries):,} tensors, at most {MOST_TENSORS:,} are read")
    checked = {}
    for name, entry in entries.items():
        try:
            checked[name] = _entry(entry, room, dtypes)
        except (TypeError, ValueError) as problem:
            raise error(f"{path} is damaged or truncated: {name[:200]} {problem}") from None
    return checked


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
                raise error(f"{path} is damaged or truncated: its header is longer than the file")
            if length > LARGEST_HEADER:
                raise error(
                    f"{path} has a header of {length:,} bytes, at most {LARGEST_HEADER:,} are read: "
                    "too many tensors"
                )
            return file.read(length), room
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem}") from None


def _entry(entry: Any, room: int, dtypes: frozenset[str]) -> TensorEntry:
    if not isinstance(entry, Mapping) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("is not described by a type, a shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise ValueError(f"is of the type {str(dtype)[:40]!r}, only {', '.join(sorted(dtypes))} are read")
    if not (_sizes(shape) and len(shape) <= 8 and _sizes(offsets) and len(offsets) == 2):
        raise ValueError("has no valid shape or offsets")
    begin, end = offsets
    if end > room or begin > end or end - begin != prod(shape) * BYTES[dtype]:
        raise ValueError(f"has another size than its shape {shape} says")
    return TensorEntry(dtype, tuple(shape))


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**48 for size in value)
