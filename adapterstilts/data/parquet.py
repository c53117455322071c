"""Reads the records of Parquet files, the format of data sets on the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterstilts.data.text import check_header
from adapterstilts.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 256  # rows in memory at a time


def parquet_records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yields the records of a Parquet file, numbered from 1; numbers of class labels become their names.

    Raises:
        DataError: A damaged file, or a column name that repeats.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            check_header(schema.names, path)
            classes = _class_names(schema)
            for batch in file.iter_batches(batch_size=BATCH):
                for record in batch.to_pylist():
                    number += 1
                    yield number, {name: spelled(value, classes.get(name)) for name, value in record.items()}
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"not a Parquet file that can be read ({reason})", path) from None


def _class_names(schema: pa.Schema) -> dict[str, Sequence[str]]:
    """Returns the class names of columns, from what the `datasets` library writes into the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: names for name, feature in features.items() if (names := _names_of(feature))}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _names_of(feature: Any) -> Sequence[str] | None:
    """Returns the names of a class label, or of a list of them."""
    inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
    names = inner.get("names") if isinstance(inner, dict) else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def spelled(value: Any, names: Sequence[str] | None) -> Any:
    """Class numbers as their names; -1 is how the Hub marks a label that is withheld."""
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [spelled(item, names) for item in value]
    if type(value) is not int or not -1 <= value < len(names):
        return value
    return None if value == -1 else names[value]
