"""Identifies rows by their content, and draws subsamples that are the same everywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapterstilts.data.rows import Row
from adapterstilts.errors import DataError


def fingerprint(rows: Iterable[Row]) -> str:
    """SHA-256 (hex) over the canonical JSON of the rows, one a line, in order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(_ENCODER.encode(row).encode("utf-8"))
        total.update(b"\n")
    return total.hexdigest()


def _fields(record: Any) -> dict[str, Any]:
    """Returns the fields of a row. Optional fields without a value are omitted, so digests stay stable."""
    values = {field: getattr(record, field.name) for field in dataclasses.fields(record)}
    return {
        field.name: value for field, value in values.items() if value is not None or field.default is not None
    }


# Writes what `values.canonical` would, without first copying every string of a row.
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_fields
)


def sha256(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) of the files' bytes, one after the other.

    Raises:
        DataError: A file that cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    total.update(part)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path) from None
    return total.hexdigest()


def subsample(size: int, limit: int | None, seed: int) -> list[int]:
    """Positions of a seeded sample without replacement, ascending; all if there are no more than the limit.

    A position's place in the draw is the hash of the seed and the position, so that a sample depends on no
    library's random numbers, is the same in parallel files, and holds every smaller sample of its seed.
    """
    if limit is None or limit >= size:
        return list(range(size))
    return sorted(heapq.nsmallest(limit, range(size), key=lambda position: _draw(seed, position)))


def _draw(seed: int, position: int) -> bytes:
    return hashlib.sha256(f"{seed}:{position}".encode()).digest()
