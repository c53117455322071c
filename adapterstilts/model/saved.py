"""Adapters, heads and AdapterFusion layers in folders: written in the library's form, checked when read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from adapterstilts.bounded_json import read_object
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import adapters_config, compatibility, records, tensors
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.records import AdapterRecord, FusionRecord, HeadRecord
from adapterstilts.model.size import check_room
from adapterstilts.paths import expanded
from adapterstilts.values import Value

State = Mapping[str, torch.Tensor]
# The library's names of its weight files and of their configurations.
ADAPTER = ("adapter.safetensors", adapters_config.CONFIG)
ACTIVE_ADAPTERS = "active_adapters.json"  # of a run: which adapters are active, and its heads
HEAD = ("model_head.safetensors", "head_config.json")
CLASSES = {
    "bert": "BertAdapterModel",
    "xlm-roberta": "XLMRobertaAdapterModel",
    "roberta": "RobertaAdapterModel",
}
FUSION = ("model_adapter_fusion.safetensors", "adapter_fusion_config.json")


def write_adapter(folder: Path, state: State, spec: AdapterSpec, config: Any, files: BackboneFiles) -> None:
    """Writes an adapter with our record of it.

    Args:
        config: the library's configuration file for it.
    """
    sha256 = _write(folder, ADAPTER, state, config)
    records.write(folder / records.ADAPTER, AdapterRecord(sha256=sha256, spec=spec, **_backbone(files)))


def check_adapter(folder: Path, files: BackboneFiles) -> AdapterRecord | None:
    """Checks all that can be checked of a saved adapter without building it.

    Returns:
        Its record; None if another program saved it, and then there is no checksum either.

    Raises:
        AdapterError: of another backbone, damaged, changed, or only there as a pickle.
    """
    record = records.adapter_record(folder)
    config = adapters_config.read_config(folder)
    described = adapters_config.spec(config["config"], folder)
    if record:
        _same_backbone(folder, _backbone(files), record.model_dump(), files.name)
        if described.config != record.spec.config:
            raise AdapterError(f"{folder / adapters_config.CONFIG} was changed after it was written")
    mine = {"model_type": files.model_type, "hidden_size": files.hidden_size}
    _same_backbone(folder, mine, config, files.name)
    state = tensors.load(folder / ADAPTER[0], record.sha256 if record else None)
    held = sum(tensor.numel() for tensor in state.values())
    check_room(described, held, files.hidden_size, files.layers, folder)
    return record


def check_complete(folder: Path, loading_info: Mapping[str, list[str]]) -> None:
    """Checks that every tensor found its place; the library loads what fits and says nothing of the rest.

    Raises:
        AdapterError: some are missing or have no place (another depth or type of backbone).
    """
    missing = [key for key in loading_info.get("missing_keys", []) if not tensors.repeated(key)]
    unexpected = loading_info.get("unexpected_keys", [])
    if missing or unexpected:
        raise AdapterError(
            f"the adapter in {folder} does not fit this backbone (another depth or type?): {len(missing)} "
            f"tensors are missing from it and {len(unexpected)} have no place, such as "
            f"{(missing or unexpected)[0]}"
        )


def write_head(folder: Path, state: State, spec: HeadSpec, config: Any, files: BackboneFiles) -> None:
    """Writes a prediction head with our record of it."""
    sha256 = _write(folder, HEAD, state, config)
    record = HeadRecord(sha256=sha256, hidden_size=files.hidden_size, kind=spec.kind, labels=spec.labels)
    records.write(folder / records.HEAD, record)


def read_head(folder: Path, expected: HeadSpec, files: BackboneFiles) -> tensors.Tensors:
    """The weights of a saved head, by their names inside it.

    Raises:
        AdapterError: damaged, of another width, or it predicts something else than `expected`.
    """
    record = records.read(folder / records.HEAD, HeadRecord)
    if (record.kind, record.labels) != (expected.kind, expected.labels):
        raise AdapterError(
            f"the head in {folder} predicts {record.kind} over {list(record.labels)}, "
            f"not {expected.kind} over {list(expected.labels)}"
        )
    _same_backbone(folder, {"hidden_size": files.hidden_size}, record.model_dump(), files.name)
    state = tensors.load(folder / HEAD[0], record.sha256)
    return {re.sub(r"^heads\.[^.]+\.", "", key): value for key, value in state.items()}


def write_fusion(
    folder: Path, state: State, sources: tuple[str, ...], config: Any, files: BackboneFiles
) -> None:
    """Writes an AdapterFusion layer with our record of it.

    Args:
        sources: digests of the weights of the adapters that it mixes, in its order.
    """
    sha256 = _write(folder, FUSION, state, config)
    records.write(folder / records.FUSION, FusionRecord(sha256=sha256, sources=sources, **_backbone(files)))


def read_fusion(folder: Path, sources: tuple[str, ...], files: BackboneFiles) -> tensors.Tensors:
    """The weights of a saved AdapterFusion layer, with `*` for its name.

    Args:
        sources: digests of the adapters it is to mix, in order.

    Raises:
        AdapterError: damaged, of another backbone, or trained over other adapters.
    """
    record = records.read(folder / records.FUSION, FusionRecord)
    _same_backbone(folder, _backbone(files), record.model_dump(), files.name)
    if sources != record.sources:
        raise AdapterError(
            f"the AdapterFusion in {folder} was trained over other adapters, or over these in another "
            f"order: {', '.join(record.sources)}, not {', '.join(sources)}"
        )
    state = tensors.load(folder / FUSION[0], record.sha256)
    return {re.sub(r"(adapter_fusion_layer)\.[^.]+\.", r"\1.*.", key): value for key, value in state.items()}


def library_file(name: str, config: Mapping[str, Any], files: BackboneFiles) -> dict[str, Any]:
    """What the library writes beside weights, so that it can read them too; no path of this machine."""
    local = expanded(files.name).is_dir()
    return {
        "name": name,
        "config": dict(config),
        "model_name": files.folder.name if local else files.name,
        "model_type": files.model_type,
        "hidden_size": files.hidden_size,
        "model_class": CLASSES[files.model_type],
        "version": f"adapters.{version('adapters')}",
    }


def read_active_adapters(folder: Path) -> tuple[ActiveAdapters, dict[str, HeadSpec]]:
    """The setup and the heads of a run's folder; where there are several, the setup names none of them.

    Raises:
        AdapterError: it is not the folder of a trained run.
    """
    path = folder / ACTIVE_ADAPTERS
    if not path.is_file():
        raise AdapterError(f"{folder} holds no trained adapter (no {ACTIVE_ADAPTERS})")
    described = read_object(path, AdapterError)
    try:
        setup = ActiveAdapters(**_ActiveAdaptersRecord.parse(described["adapters"], "adapters").model_dump())
        saved_heads = {str(name): _Head.parse(head, "head") for name, head in described["heads"].items()}
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(f"{path} is damaged: {type(error).__name__}: {error}"[:400]) from None
    for name in (*setup.stack, *setup.fused, *filter(None, [setup.head]), *saved_heads):
        if not compatibility.NAME.fullmatch(name):
            raise AdapterError(f"{path} is damaged: {name[:80]!r} cannot name an adapter or a head")
    return setup, {name: HeadSpec(head.kind, head.labels) for name, head in saved_heads.items()}


class _ActiveAdaptersRecord(Value):
    """A setup as it is saved, see `ActiveAdapters`."""

    language: str | None
    below: tuple[str, ...]
    fused: tuple[str, ...]
    target: str | None
    head: str | None


class _Head(Value):
    """A head as it is saved, see `HeadSpec`."""

    kind: Literal["classification", "tagging", "span", "choice", "mlm"]
    labels: tuple[str, ...]


def head_folder(folder: Path, name: str, heads: Mapping[str, HeadSpec]) -> Path:
    """Where one of a run's heads is saved."""
    return folder / "heads" / name if len(heads) > 1 else folder / "head"


def _write(folder: Path, names: tuple[str, str], state: State, config: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[1]).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    return tensors.save(folder / names[0], state)


def _backbone(files: BackboneFiles) -> dict[str, Any]:
    return {
        "model_type": files.model_type,
        "hidden_size": files.hidden_size,
        "layers": files.layers,
        "backbone": files.fingerprint,
    }


def _same_backbone(folder: Path, mine: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> None:
    for key, value in mine.items():
        if theirs.get(key) not in (None, value):
            raise AdapterError(
                f"{folder} was trained on another backbone: its {key.replace('_', ' ')} is {theirs[key]}, "
                f"that of {name} is {value}"
            )
