"""Adapter folders in the form of the `adapters` library: what their configuration file says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.model.configs import PARTS, AdapterSpec, fill

CONFIG = "adapter_config.json"
# Keys that this toolkit does not offer, with the value at which they have no effect on an encoder.
WITHOUT_EFFECT: dict[str, Any] = {
    "shared_W_phm": False,
    "factorized_phm_rule": False,
    "factorized_phm_W": True,
    "stochastic_depth": 0.0,
    "use_dora": False,
    "vera_d": None,
    "vera_b": None,
    "dtype": None,
    "encoder_prefix": True,
}
# Only about decoders, or about how fresh weights are drawn; or an old form that the library translates.
WITHOUT_MEANING = {
    "cross_adapter", "cross_prefix", "init_weights_seed", "phm_c_init", "hypercomplex_nonlinearity",
    "learn_phm", "invertible_adapter",
}  # fmt: skip
ARCHITECTURES = {
    None: "bottleneck",
    "bottleneck": "bottleneck",
    "lora": "lora",
    "prefix_tuning": "prefix_tuning",
}


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration file of a saved adapter.

    Raises:
        AdapterError: missing or malformed.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise AdapterError(f"{folder} is not a saved adapter: it holds no {CONFIG}")
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path} is damaged: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("config"), dict) or "name" not in data:
        raise AdapterError(f"{path} is not the configuration of an adapter: it has no 'config' and 'name'")
    return data


def spec(config: Mapping[str, Any], folder: Path) -> AdapterSpec:
    """The library's configuration as ours.

    Raises:
        AdapterError: a method or a setting that is not supported here.
    """
    try:
        if config.get("architecture") == "union":
            parts = [_part(part) for part in config["configs"]]
            return AdapterSpec(
                name="union",
                config=fill({p.pop("architecture"): p for p in parts} | {"architecture": "union"}),
            )
        part = _part(config)
        return AdapterSpec(name=part["architecture"], config=fill(part))
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(f"the adapter in {folder} cannot be used here: {error}") from None


def _part(config: Mapping[str, Any]) -> dict[str, Any]:
    architecture = config.get("architecture")
    if architecture not in ARCHITECTURES:
        raise ConfigError(
            f"its method '{architecture}' is not supported (bottleneck, LoRA, (IA)3 and prefix are)"
        )
    kind = ARCHITECTURES[architecture]
    part: dict[str, Any] = {"architecture": kind}
    for key, value in config.items():
        if key == "architecture" or key in WITHOUT_MEANING:
            continue
        if key in PARTS[kind].model_fields:
            part[key] = value
        elif key not in WITHOUT_EFFECT or value != WITHOUT_EFFECT[key]:
            raise ConfigError(f"its setting {key}: {value} is not supported")
    return part
