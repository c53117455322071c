"""The only reader of safetensors headers; they are checked before the library parses them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from adapterstilts.bounded_json import Limits, parse_object
from adapterstilts.errors import BackboneError, StiltsError
from adapterstilts.terminal_text import shown

# The largest supported encoder has about 500 tensors, nine adapters and their fusion about 2,000. The library
# takes minutes for a hostile header with millions.
MAX_TENSORS = 20_000
MAX_HEADER_BYTES = 4 * 2**20
LIMITS = Limits(size=MAX_HEADER_BYTES, depth=4)
METADATA = "__metadata__"
BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
FORMATS = (None, "pt", "mlx")  # other frameworks store some matrices transposed
FLOATS = frozenset({"F32", "F16", "BF16"})  # each of their finite values is exact in float32


class _Entry(NamedTuple):
    """One tensor's entry in the header.

    Attributes:
        dtype: Type as safetensors names it, such as F32.
        shape: Size along each axis.
        start, end: Offsets of the first byte and of the byte after the tensor, from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def check(self, path: Path, name: str, shape: tuple[int, ...]) -> None:
        """Refuses a tensor of a backbone with an unsupported type or an unexpected shape.

        Args:
            path: Path of the weight file, for messages.
            name: Name of the tensor, for messages.
            shape: Shape that the configuration requires.

        Raises:
            BackboneError: The type or the shape does not fit.
        """
        if self.dtype not in FLOATS:
            raise BackboneError(
                f"{path}: {name} is of type {self.dtype}; only {', '.join(sorted(FLOATS))} are supported: "
                "save the encoder in float32"
            )
        if self.shape != shape:
            raise BackboneError(
                f"{path}: {name} has the shape {list(self.shape)}, but config.json requires {list(shape)}"
            )


def read_header(
    path: Path, error: type[StiltsError], dtypes: frozenset[str] = frozenset(BYTES)
) -> dict[str, _Entry]:
    """Reads and checks the header of a safetensors file; no tensor is read.

    Args:
        path: Path of the file.
        error: Type of the error to raise.
        dtypes: Types that tensors may have.

    Raises:
        error: The file is not in safetensors format, its header is too large, or a tensor has an unsupported
            type, a size that contradicts its shape, overlaps another or leaves a gap.
    """
    data, size = _header_bytes(path, error)
    header = parse_object(data, f"the header of {path}", error, LIMITS)
    metadata = header.pop(METADATA, {})
    name = metadata.get("format") if isinstance(metadata, dict) else metadata
    if name not in FORMATS:
        raise error(f"{path} has the format {shown(name, 40)!r}: convert it to PyTorch's, which is 'pt'")
    if len(header) > MAX_TENSORS:
        raise error(f"{path} holds {len(header):,} tensors, more than the maximum of {MAX_TENSORS:,}")
    try:
        entries = dict(_entries(header, dtypes))
        _check_offsets(entries, size)
    except ValueError as problem:
        raise error(f"{path} is damaged or truncated: {problem}") from None
    return entries


def _header_bytes(path: Path, error: type[StiltsError]) -> tuple[bytes, int]:
    """Returns the header, and the number of bytes that follow it."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(f"{path} is not an ordinary file")
            length = int.from_bytes(file.read(8), "little")
            size = status.st_size - 8 - length
            if status.st_size < 8 or size < 0:
                raise error(
                    f"{path} is damaged or truncated, or not a safetensors file: its header is "
                    "longer than the file"
                )
            if length > MAX_HEADER_BYTES:
                raise error(
                    f"{path} has a header of {length:,} bytes, the maximum is {MAX_HEADER_BYTES:,}, "
                    "which means too many tensors"
                )
            return file.read(length), size
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem}") from None


def _entries(header: Mapping[str, Any], dtypes: frozenset[str]) -> Iterator[tuple[str, _Entry]]:
    for key, value in header.items():
        name = shown(key)
        if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"{name} is not described by a type, a shape and offsets")
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or dtype not in dtypes:
            supported = ", ".join(sorted(dtypes))
            raise ValueError(f"{name} is of type {shown(dtype, 40)!r}, only {supported} are supported")
        if not (_sizes(shape) and len(shape) <= 8 and _sizes(offsets) and len(offsets) == 2):
            raise ValueError(f"{name} has no valid shape or offsets")
        if offsets[1] - offsets[0] != prod(shape) * BYTES[dtype]:
            raise ValueError(f"{name} has a size that contradicts its shape {shape}")
        yield key, _Entry(dtype, tuple(shape), *offsets)


def _check_offsets(entries: Mapping[str, _Entry], size: int) -> None:
    # Data in gaps would not be checked, and overlapping tensors would share memory.
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != end:
            raise ValueError(f"{shown(name)} overlaps another tensor or leaves a gap before it")
        end = entry.end
    if end != size:
        raise ValueError(f"its tensors have {end:,} bytes, not {size:,}")


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**48 for size in value)
