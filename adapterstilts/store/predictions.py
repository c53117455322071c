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
    """Writes predictions, one per row; equal predictions give equal bytes.

    Args:
        predictions: JSON objects. Their keys may differ, and reading returns each with the keys it had.

    Raises:
        StoreError: The disk is full.
    """
    import pyarrow as pa  # imported here: listing runs needs no Parquet
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for prediction in predictions for name in prediction))
    columns = [_column(name, predictions) for name in names]
    # Nulls for missing keys: `read_predictions` drops them, so None is no value of a prediction.
    table = pa.Table.from_arrays([array for array, _ in columns], schema=pa.schema([f for _, f in columns]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    with disk_errors(path.parent):
        write_whole(path, buffer.getvalue())


def read_predictions(path: Path) -> list[dict[str, Any]]:
    """Reads what `write_predictions` wrote.

    Raises:
        StoreError: The file is missing or damaged.
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
    """Returns one column, with a null in each row that has no such key."""
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
    """Returns the type of a column of scalars, or of lists of scalars, of one type; otherwise None."""
    import pyarrow as pa

    scalars = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    kinds = {type(value) for value in values}
    items = [item for value in values for item in value] if kinds == {list} else values
    item_types = {type(item) for item in items}
    if len(item_types) != 1 or not item_types <= scalars.keys():
        return None
    item_type = item_types.pop()
    # Arrow has no larger integers: such columns are stored as JSON texts.
    if item_type is int and not all(item in INT64 for item in items):
        return None
    return pa.list_(scalars[item_type]) if kinds == {list} else scalars[item_type]
