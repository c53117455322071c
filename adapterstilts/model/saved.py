"""Saved adapters, heads and AdapterFusion layers: written in the library's format, checked when read.

The `adapters` library writes a weight file and a configuration. A record beside them holds a checksum, the
backbone and the settings, so that damage, tampering and a wrong backbone are noticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import ValidationError

from adapterstilts.bounded_json import read_object
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import adapters_config, compatibility, tensors
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.shapes import check_file_size
from adapterstilts.paths import expanded
from adapterstilts.values import Value, canonical, digest

State = Mapping[str, torch.Tensor]
ACTIVE_ADAPTERS = "active_adapters.json"  # file of a run: its active adapters and its heads
HeadKind = Literal["classification", "tagging", "span", "choice", "mlm"]
MODEL_CLASSES = {
    "bert": "BertAdapterModel",
    "xlm-roberta": "XLMRobertaAdapterModel",
    "roberta": "RobertaAdapterModel",
}


class _Record(Value):
    """A record beside saved weights.

    Attributes:
        RECORD: File name of the record.
        WEIGHTS: File name of the weights, as the library chooses it.
        CONFIG: File name of the library's configuration.
        sha256: SHA-256 of the weight file.
        hidden_size: Hidden size of the backbone.
    """

    RECORD: ClassVar[str]
    WEIGHTS: ClassVar[str]
    CONFIG: ClassVar[str]

    sha256: str
    hidden_size: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a record.

        Raises:
            AdapterError: The file is missing, malformed, or was changed after it was written.
        """
        if not path.exists():
            raise AdapterError(f"{path} is missing: {path.parent} was not saved completely")
        try:
            data = read_object(path, AdapterError)
            record = cls.model_validate(data["record"])
            intact = digest(record) == data["digest"]
        except (KeyError, TypeError, ValidationError) as error:
            raise AdapterError(
                f"{path} is damaged ({type(error).__name__}): retrain or download the adapter"
            ) from None
        if not intact:
            raise AdapterError(f"{path} was changed after it was written: retrain or download the adapter")
        return record

    def write(self, folder: Path) -> None:
        """Writes the record into a folder, with a digest of itself."""
        # Canonical JSON first: the digest is of that form, whatever the layout of the file.
        text = canonical({"record": self.model_dump(mode="json"), "digest": digest(self)})
        (folder / self.RECORD).write_text(
            json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n", "utf-8"
        )

    @classmethod
    def _write_weights(
        cls, folder: Path, name: str, state: State, library: Mapping[str, Any], files: BackboneFiles
    ) -> str:
        """Writes weights and configuration as the library does, and returns the weights' SHA-256.

        Args:
            library: Keys of the library's configuration file that depend on what is saved.
        """
        folder.mkdir(parents=True, exist_ok=True)
        data = {
            **library,
            "name": name,
            # The name alone: a published adapter must not reveal a path of this machine.
            "model_name": files.folder.name if expanded(files.name).is_dir() else files.name,
            "model_type": files.model_type,
            "hidden_size": files.hidden_size,
            "model_class": MODEL_CLASSES[files.model_type],
            "version": f"adapters.{version('adapters')}",
        }
        (folder / cls.CONFIG).write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", "utf-8")
        return tensors.save(folder / cls.WEIGHTS, state)


class SavedAdapter(_Record):
    """The record of a saved adapter.

    Attributes:
        model_type: Model type of the backbone.
        layers: Number of layers of the backbone.
        backbone: Fingerprint of the backbone.
        spec: Configuration of the adapter.
    """

    RECORD = "adapter.json"
    WEIGHTS = "adapter.safetensors"
    CONFIG = adapters_config.CONFIG

    model_type: str
    layers: int
    backbone: str
    spec: AdapterSpec

    @classmethod
    def save(
        cls,
        folder: Path,
        name: str,
        state: State,
        spec: AdapterSpec,
        config: Mapping[str, Any],
        files: BackboneFiles,
    ) -> None:
        """Writes an adapter and its record.

        Args:
            state: Tensors of the adapter under the library's names.
            config: The library's configuration of the adapter.
        """
        sha256 = cls._write_weights(folder, name, state, {"config": dict(config)}, files)
        cls(sha256=sha256, spec=spec, **_backbone(files)).write(folder)

    @classmethod
    def find(cls, folder: Path) -> SavedAdapter | None:
        """Returns the record of a saved adapter, or None if another program saved it.

        Raises:
            AdapterError: The record is damaged.
        """
        path = folder / cls.RECORD
        return cls.read(path) if path.exists() else None

    @classmethod
    def check(cls, folder: Path, files: BackboneFiles) -> SavedAdapter | None:
        """Checks a saved adapter as far as possible without building it.

        Returns:
            Its record. None if another program saved it; there is no checksum then.

        Raises:
            AdapterError: The adapter belongs to another backbone, is damaged or changed, or is a pickle.
        """
        record = cls.find(folder)
        config = adapters_config.read_config(folder)
        spec = adapters_config.spec(config["config"], folder)
        if record:
            _check_backbone(folder, _backbone(files), record.model_dump(), files.name)
            if spec.config != record.spec.config:
                raise AdapterError(f"{folder / cls.CONFIG} was changed after it was written")
        # The library's file is checked too: without a record it is all that identifies the backbone.
        library_keys = {"model_type": files.model_type, "hidden_size": files.hidden_size}
        _check_backbone(folder, library_keys, config, files.name)
        state = tensors.load(folder / cls.WEIGHTS, record.sha256 if record else None)
        count = sum(tensor.numel() for tensor in state.values())
        check_file_size(spec, count, files.hidden_size, files.layers, folder)
        return record


class SavedHead(_Record):
    """The record of a saved prediction head.

    Attributes:
        kind: Kind of the head, see `HeadSpec`.
        labels: Labels that it predicts, in the order of its outputs.
    """

    RECORD = "head.json"
    WEIGHTS = "model_head.safetensors"
    CONFIG = "head_config.json"

    kind: HeadKind
    labels: tuple[str, ...]

    @classmethod
    def save(
        cls,
        folder: Path,
        name: str,
        state: State,
        spec: HeadSpec,
        config: Mapping[str, Any],
        files: BackboneFiles,
    ) -> None:
        """Writes a prediction head and its record."""
        sha256 = cls._write_weights(folder, name, state, {"config": dict(config)}, files)
        cls(sha256=sha256, hidden_size=files.hidden_size, kind=spec.kind, labels=spec.labels).write(folder)

    @classmethod
    def load(cls, folder: Path, expected: HeadSpec, files: BackboneFiles) -> tensors.Tensors:
        """Returns the weights of a saved head, under their names inside the head.

        Raises:
            AdapterError: The head is damaged, has another width, or predicts something else than `expected`.
        """
        record = cls.read(folder / cls.RECORD)
        if (record.kind, record.labels) != (expected.kind, expected.labels):
            raise AdapterError(
                f"the head in {folder} predicts {record.kind} over {list(record.labels)}, "
                f"not {expected.kind} over {list(expected.labels)}"
            )
        _check_backbone(folder, {"hidden_size": files.hidden_size}, record.model_dump(), files.name)
        state = tensors.load(folder / cls.WEIGHTS, record.sha256)
        return {re.sub(r"^heads\.[^.]+\.", "", key): value for key, value in state.items()}


class SavedFusion(_Record):
    """The record of a saved AdapterFusion layer.

    Attributes:
        model_type: Model type of the backbone.
        layers: Number of layers of the backbone.
        backbone: Fingerprint of the backbone.
        sources: Digests of the weights of the fused adapters, in order.
    """

    RECORD = "fusion.json"
    WEIGHTS = "model_adapter_fusion.safetensors"
    CONFIG = "adapter_fusion_config.json"

    model_type: str
    layers: int
    backbone: str
    sources: tuple[str, ...]

    @classmethod
    def save(
        cls,
        folder: Path,
        name: str,
        state: State,
        sources: tuple[str, ...],
        config: Mapping[str, Any],
        files: BackboneFiles,
    ) -> None:
        """Writes an AdapterFusion layer and its record.

        Args:
            sources: Digests of the weights of the fused adapters, in order.
        """
        # The library names a fusion by its adapters' names, joined by commas.
        library = {"config": dict(config), "adapter_names": name.split(",")}
        sha256 = cls._write_weights(folder, name, state, library, files)
        cls(sha256=sha256, sources=sources, **_backbone(files)).write(folder)

    @classmethod
    def load(cls, folder: Path, sources: tuple[str, ...], files: BackboneFiles) -> tensors.Tensors:
        """Returns the weights of a saved AdapterFusion layer, with `*` in place of its name.

        Args:
            sources: Digests of the weights of the loaded adapters, in order.

        Raises:
            AdapterError: The layer is damaged, belongs to another backbone, or mixes other adapters.
        """
        record = cls.read(folder / cls.RECORD)
        _check_backbone(folder, _backbone(files), record.model_dump(), files.name)
        # The attention was trained for these adapters in this order: others give wrong results silently.
        if sources != record.sources:
            raise AdapterError(
                f"the AdapterFusion in {folder} was trained over other adapters, or over these in another "
                f"order: {', '.join(record.sources)}, not {', '.join(sources)}"
            )
        state = tensors.load(folder / cls.WEIGHTS, record.sha256)
        return {
            re.sub(r"(adapter_fusion_layer)\.[^.]+\.", r"\1.*.", key): value for key, value in state.items()
        }


def _backbone(files: BackboneFiles) -> dict[str, Any]:
    return {
        "model_type": files.model_type,
        "hidden_size": files.hidden_size,
        "layers": files.layers,
        "backbone": files.fingerprint,
    }


def _check_backbone(folder: Path, expected: Mapping[str, Any], saved: Mapping[str, Any], name: str) -> None:
    for key, value in expected.items():
        if saved.get(key) not in (None, value):
            raise AdapterError(
                f"{folder} was trained on another backbone: its {key.replace('_', ' ')} is {saved[key]}, "
                f"that of {name} is {value}"
            )


class _ActiveAdaptersEntry(Value):
    """The saved form of `ActiveAdapters`."""

    language: str | None
    below: tuple[str, ...]
    fused: tuple[str, ...]
    target: str | None
    head: str | None


class _HeadEntry(Value):
    """The saved form of a `HeadSpec`."""

    kind: HeadKind
    labels: tuple[str, ...]


def read_active_adapters(folder: Path) -> tuple[ActiveAdapters, dict[str, HeadSpec]]:
    """Reads a run's active adapters and its heads; with several heads, none of them is active.

    Raises:
        AdapterError: The folder is not that of a trained run, or its file is damaged.
    """
    path = folder / ACTIVE_ADAPTERS
    if not path.is_file():
        raise AdapterError(f"{folder} holds no trained adapter (no {ACTIVE_ADAPTERS})")
    data = read_object(path, AdapterError)
    try:
        setup = ActiveAdapters(**_ActiveAdaptersEntry.parse(data["adapters"], "adapters").model_dump())
        heads = {str(name): _HeadEntry.parse(head, "head") for name, head in data["heads"].items()}
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(f"{path} is damaged: {type(error).__name__}: {error}"[:400]) from None
    # Names become folder names: a slash or dots in one would lead out of the run's folder.
    for name in (*setup.stack, *setup.fused, *filter(None, [setup.head]), *heads):
        if not compatibility.NAME.fullmatch(name):
            raise AdapterError(f"{path} is damaged: {name[:80]!r} is not a valid adapter or head name")
    return setup, {name: HeadSpec(head.kind, head.labels) for name, head in heads.items()}


def head_folder(folder: Path, name: str, heads: Mapping[str, HeadSpec]) -> Path:
    """Returns the folder of one of a run's heads."""
    return folder / "heads" / name if len(heads) > 1 else folder / "head"
