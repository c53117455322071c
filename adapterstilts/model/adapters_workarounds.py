"""What the `adapters` library keeps of an adapter inside a model, beside its weights."""

from __future__ import annotations

from typing import Any


def own_config(model: Any, name: str) -> None:
    """Gives an adapter its own entry among the library's configurations.

    They are kept under a hash that is the same with and without `phm_layer`, for example, so that an
    adapter would change the configuration of one added before.
    """
    held = model.adapters_config
    held.config_map[f"of {name}"] = held.get(name)
    held.adapters[name] = f"of {name}"


def delete_adapter(model: Any, name: str) -> None:
    """Deletes an adapter with all that the library itself leaves behind."""
    model.delete_adapter(name)
    model.adapters_config.config_map.pop(f"of {name}", None)
    model.base_model.prefix_tuning.prefix_counts.pop(name, None)
