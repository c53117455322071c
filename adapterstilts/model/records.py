"""What is written beside saved weights so that damage, tampering and the wrong backbone are noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from adapterstilts.bounded_json import read_object
from adapterstilts.errors import AdapterError
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.values import Value, canonical, digest

R = TypeVar("R", bound=Value)
ADAPTER, HEAD, FUSION = "adapter.json", "head.json", "fusion.json"


class AdapterRecord(Value):
    """Of a saved adapter.

    Attributes:
        sha256: of the weight file.
        model_type, hidden_size, layers: of the backbone.
        backbone: its fingerprint.
        spec: the adapter's configuration.
    """

    sha256: str
    model_type: str
    hidden_size: int
    layers: int
    backbone: str
    spec: AdapterSpec


class HeadRecord(Value):
    """Of a saved head: the weight file's SHA-256, the width it reads, and what it predicts."""

    sha256: str
    hidden_size: int
    kind: Literal["classification", "tagging", "span", "choice", "mlm"]
    labels: tuple[str, ...]


class FusionRecord(Value):
    """Of a saved AdapterFusion layer.

    Attributes:
        sources: digest of the weights of each adapter that it mixes, in its order.
    """

    sha256: str
    model_type: str
    hidden_size: int
    layers: int
    backbone: str
    sources: tuple[str, ...]


def write(path: Path, record: Value) -> None:
    """Writes a record with a digest of itself."""
    text = canonical({"record": record.model_dump(mode="json"), "digest": digest(record)})
    path.write_text(json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n", "utf-8")


def read(path: Path, kind: type[R]) -> R:
    """Reads a record back.

    Raises:
        AdapterError: it is missing, malformed, or not as it was written.
    """
    if not path.exists():
        raise AdapterError(f"{path} is missing: {path.parent} was not saved completely")
    try:
        data = read_object(path, AdapterError)
        record = kind.model_validate(data["record"])
        intact = digest(record) == data["digest"]
    except (KeyError, TypeError, ValidationError) as error:
        raise AdapterError(
            f"{path} is damaged ({type(error).__name__}): train or download it again"
        ) from None
    if not intact:
        raise AdapterError(f"{path} was changed after it was written: train or download it again")
    return record


def adapter_record(folder: Path) -> AdapterRecord | None:
    """The record of a saved adapter; None for one that another program saved.

    Raises:
        AdapterError: there is one, but it is damaged.
    """
    path = folder / ADAPTER
    return read(path, AdapterRecord) if path.exists() else None
