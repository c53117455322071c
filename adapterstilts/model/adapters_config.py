"""Configuration files of the `adapters` library, which may come from strangers: read, checked, converted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterstilts.bounded_json import read_object
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.known_keys import Accept, Check, Rules, keep_known
from adapterstilts.model.configs import PARTS, AdapterSpec

CONFIG = "adapter_config.json"
# Keys that this toolkit does not support, with the value at which they have no effect on an encoder.
NEUTRAL_VALUES: dict[str, Any] = {
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


def _unchecked(value: Any, place: str, check: Check) -> Any:
    # `spec` checks an adapter's settings, with messages of its own.
    return value


LONG = Accept.text(200)
BACKBONE: Rules = {
    **dict.fromkeys(
        ("model_name", "model_type", "model_class", "version", "config_id"), Accept.nullable(LONG)
    ),
    "hidden_size": Accept.nullable(Accept.whole(1, 2**16)),
}
# The known keys of the library's configuration files, by the file's name.
RULES: Mapping[str, Rules] = {
    CONFIG: {**BACKBONE, "name": Accept.nullable(LONG), "config": _unchecked},
    "head_config.json": {
        **BACKBONE,
        "name": Accept.nullable(LONG),
        "num_labels": Accept.nullable(Accept.whole(0, 10**6)),
        "label2id": Accept.nullable(Accept.table(Accept.whole(0, 10**6), 10**5)),
        "config": Accept.nullable(
            Accept.record(
                {
                    **dict.fromkeys(
                        ("head_type", "activation_function", "label_name"), Accept.nullable(LONG)
                    ),
                    **dict.fromkeys(
                        ("num_labels", "layers", "num_choices"), Accept.nullable(Accept.whole(0, 10**6))
                    ),
                    **dict.fromkeys(
                        ("vocab_size", "embedding_size"), Accept.nullable(Accept.whole(0, 10**7))
                    ),
                    **dict.fromkeys(
                        ("use_pooler", "bias", "multilabel", "layer_norm"), Accept.nullable(Accept.flag)
                    ),
                    **dict.fromkeys(("shift_labels", "regression"), Accept.nullable(Accept.flag)),
                    "dropout_prob": Accept.nullable(Accept.number(0, 1)),
                    "label2id": Accept.nullable(Accept.table(Accept.whole(0, 10**6), 10**5)),
                }
            )
        ),
    },
    "adapter_fusion_config.json": {
        **BACKBONE,
        "name": Accept.nullable(Accept.either(LONG, Accept.items(LONG, 100))),
        "adapter_names": Accept.nullable(Accept.either(Accept.text(2000), Accept.items(LONG, 100))),
        "config": Accept.nullable(
            Accept.record(
                {
                    **dict.fromkeys(
                        ("key", "query", "value", "query_before_ln"), Accept.nullable(Accept.flag)
                    ),
                    **dict.fromkeys(("regularization", "residual_before"), Accept.nullable(Accept.flag)),
                    **dict.fromkeys(("temperature", "value_before_softmax"), Accept.nullable(Accept.flag)),
                    "value_initialized": Accept.nullable(Accept.either(Accept.flag, LONG)),
                    "dropout_prob": Accept.nullable(Accept.number(0, 1)),
                }
            )
        ),
    },
}
# Keys for decoders or for the initialisation of fresh weights, and an old key that the library converts.
IGNORED: Rules = {
    **dict.fromkeys(("cross_adapter", "cross_prefix", "learn_phm"), Accept.nullable(Accept.flag)),
    "init_weights_seed": Accept.nullable(Accept.whole(0, 2**63)),
    "phm_c_init": Accept.nullable(Accept.choice("normal", "uniform")),
    "hypercomplex_nonlinearity": Accept.nullable(
        Accept.choice("phm", "glorot-normal", "glorot-uniform", "normal")
    ),
    "invertible_adapter": Accept.nullable(
        Accept.record(
            {
                "block_type": Accept.choice("nice"),
                "non_linearity": Accept.nullable(LONG),
                "reduction_factor": Accept.number(1, 1e6),
            }
        )
    ),
}
# The library's name of the architecture, and ours. Old files have none.
ARCHITECTURES = {
    None: "bottleneck",
    "bottleneck": "bottleneck",
    "lora": "lora",
    "prefix_tuning": "prefix_tuning",
}


def read_config(folder: Path) -> dict[str, Any]:
    """Reads the configuration file of a saved adapter.

    Raises:
        AdapterError: The file is missing or malformed.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise AdapterError(f"{folder} is not a saved adapter: it holds no {CONFIG}")
    data = read_object(path, AdapterError)
    if not isinstance(data.get("config"), dict) or "name" not in data:
        raise AdapterError(f"{path} is not the configuration of an adapter: it has no 'config' and 'name'")
    return keep_known(data, RULES[CONFIG], path, AdapterError)[0]


def spec(config: Mapping[str, Any], folder: Path) -> AdapterSpec:
    """Converts the library's configuration of an adapter to ours.

    Args:
        config: Configuration of the library.
        folder: Folder of the adapter, for messages.

    Raises:
        AdapterError: The method or a setting is not supported.
    """
    try:
        if config.get("architecture") == "union":
            parts = [_part(part) for part in config["configs"]]
            union = {part.pop("architecture"): part for part in parts} | {"architecture": "union"}
            return AdapterSpec(name="union", config=AdapterSpec.fill(union))
        part = _part(config)
        return AdapterSpec(name=part["architecture"], config=AdapterSpec.fill(part))
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(f"the adapter in {folder} cannot be used here: {error}") from None


def _part(config: Mapping[str, Any]) -> dict[str, Any]:
    architecture = config.get("architecture")
    if architecture not in ARCHITECTURES:
        raise ConfigError(
            f"its method '{architecture}' is not supported; use bottleneck, LoRA, (IA)3 or prefix tuning"
        )
    kind = ARCHITECTURES[architecture]
    part: dict[str, Any] = {"architecture": kind}
    for key, value in config.items():
        if key == "architecture":
            continue
        if key in IGNORED:
            keep_known({key: value}, IGNORED, "its settings", ConfigError)
            continue
        if key in PARTS[kind].model_fields:
            # Early versions of the library use this name for gelu.
            is_old_name = key == "non_linearity" and value == "gelu_orig"
            part[key] = "gelu" if is_old_name else value
        elif key not in NEUTRAL_VALUES or value != NEUTRAL_VALUES[key]:
            raise ConfigError(f"its setting {key}: {value} is not supported")
    return part
