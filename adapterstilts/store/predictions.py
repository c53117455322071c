"""Predictions as Parquet: plain columns where values are plain, JSON text where they are nested."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterstilts.errors import StoreError
from adapterstilts.store.files import disk_errors, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

JSON_TEXT = {b"form": b"json"}  # marks a column whose values are JSON texts
INT64 = range(-(2**63), 2**63)


def write_predictions(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Writes predictions, one row each; the same predictions make the same bytes.

    Args:
        predictions: JSON values only; keys may differ between rows, and reading gives them back as
            they were.

    Raises:
        StoreError: the disk is full.
    """
    import pyarrow as pa  # here, because listing runs needs no Parquet
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for prediction in predictions for name in prediction))
    columns = [_column(name, predictions) for name in names]
    table = pa.Table.from_arrays([array for array, _ in columns], schema=pa.schema([f for _, f in columns]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    with disk_errors(path.parent):
        write_whole(path, buffer.getvalue())


def read_predictions(path: Path) -> list[dict[str, Any]]:
    """Reads what `write_predictions` wrote.

    Raises:
        StoreError: the file is not there or is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read as Parquet: {error}") from error
    nested = {
        field.name for field in table.schema if field.metadata and field.metadata.get(b"form") == b"json"
    }
    return [
        {
            name: json.loads(value) if name in nested else value
            for name, value in row.items()
            if value is not None
        }
        for row in table.to_pylist()
    ]


def _column(name: str, predictions: Sequence[dict[str, Any]]) -> tuple[pa.Array, pa.Field]:
    """One column; a null stands where a row has no such key."""
    import pyarrow as pa

    values = [prediction[name] for prediction in predictions if name in prediction]
    plain = _plain_type(values)
    if plain is not None:
        array = pa.array([prediction.get(name) for prediction in predictions], type=plain)
        return array, pa.field(name, plain)
    texts = [_text(prediction[name]) if name in prediction else None for prediction in predictions]
    return pa.array(texts, type=pa.string()), pa.field(name, pa.string(), metadata=JSON_TEXT)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _plain_type(values: Sequence[Any]) -> pa.DataType | None:
    """The type of a column of scalars, or of lists of scalars, of one type each; else None."""
    import pyarrow as pa

    scalars = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    kinds = {type(value) for value in values}
    items = [item for value in values for item in value] if kinds == {list} else values
    of_items = {type(item) for item in items}
    if len(of_items) != 1 or not of_items <= scalars.keys():
        return None
    only = of_items.pop()
    if only is int and not all(item in INT64 for item in items):
        return None
    return pa.list_(scalars[only]) if kinds == {list} else scalars[only]
