"""Workarounds for traps of the `adapters` library, version 1.3; each comment names the trap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapterstilts.errors import AdapterError
from adapterstilts.model import tensors


def load_adapter(model: Any, folder: Path, name: str) -> None:
    """Loads a saved adapter without its head, and checks that every tensor was used.

    Raises:
        AdapterError: Tensors are missing or unexpected: the backbone has another depth or type.
    """
    info: dict[str, list[str]] = {}
    # An absolute path: a relative one could be taken for the id of a repository on the Hub.
    model.load_adapter(
        str(folder.resolve()), load_as=name, with_head=False, use_safetensors=True, loading_info=info
    )
    # Trap: an adapter of another depth or model type loads without a warning; only `loading_info` shows it.
    missing = [key for key in info.get("missing_keys", []) if not tensors.is_alias(key)]
    unexpected = info.get("unexpected_keys", [])
    if missing or unexpected:
        raise AdapterError(
            f"the adapter in {folder} does not fit this backbone (another depth or type?): {len(missing)} "
            f"tensors are missing and {len(unexpected)} are unexpected, such as {(missing or unexpected)[0]}"
        )


def separate_config(model: Any, name: str) -> None:
    """Gives an adapter a separate entry among the library's configurations.

    Args:
        model: Encoder with the adapter.
        name: Name of the adapter.
    """
    # Trap: the library stores configurations under a hash that ignores some keys, such as `phm_layer`.
    # Two adapters with the same hash share an entry, so the second would change the first one's settings.
    configs = model.adapters_config
    configs.config_map[_config_key(name)] = configs.get(name)
    configs.adapters[name] = _config_key(name)


def delete_adapter(model: Any, name: str) -> None:
    """Deletes an adapter completely; does nothing if there is none of that name."""
    model.delete_adapter(name)
    # Trap: a failed load leaves a stub, and delete_adapter leaves the configuration and the prefix counts.
    model.adapters_config.config_map.pop(_config_key(name), None)
    model.base_model.prefix_tuning.prefix_counts.pop(name, None)


def _config_key(name: str) -> str:
    return f"of {name}"


def make_fusion_inputs_contiguous(model: Any, name: str) -> None:
    """Makes an AdapterFusion layer receive contiguous keys and values.

    Args:
        model: Encoder with the AdapterFusion layer.
        name: Library name of the fusion: the adapters' names joined by commas.
    """
    # Trap: the library passes one permuted view [N, L, adapters, H] as keys and values. On a CPU that
    # computes bf16, a linear layer takes about 100 times as long on such a view; values are the same.
    for module in model.modules():
        layers = getattr(module, "adapter_fusion_layer", {})
        if name in layers:
            layers[name].register_forward_pre_hook(_contiguous)


def _contiguous(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    query, key, value, *rest = inputs
    contiguous = key.contiguous()
    # Keys and values can be one tensor: it is copied once.
    return query, contiguous, contiguous if value is key else value.contiguous(), *rest
