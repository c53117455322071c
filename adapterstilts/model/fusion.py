"""AdapterFusion layers inside the model: the layout of their inputs, and the attention they pay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from adapterstilts.kinds.base import Batch
from adapterstilts.model import encoder


def lay_out_inputs(model: Any, name: str) -> None:
    """Makes an AdapterFusion receive its keys and values as contiguous tensors.

    The library passes one permuted view [N, L, adapters, H] as both. On a CPU that computes bf16, a linear
    layer takes about a hundred times as long on such a view; elsewhere it expands its weights.

    Args:
        name: the library's name of the fusion, the adapters' names joined by commas.
    """
    for module in model.modules():
        layers = getattr(module, "adapter_fusion_layer", {})
        if name in layers:
            layers[name].register_forward_pre_hook(_contiguous)


def _contiguous(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    query, key, value, *rest = inputs
    laid_out = key.contiguous()
    return query, laid_out, laid_out if value is key else value.contiguous(), *rest


def fusion_attention(model: Any, batch: Batch) -> list[list[float]]:
    """Mean attention of the active AdapterFusion per layer, see `attention_shares`."""
    wanted = {"output_adapter_fusion_attentions": True}
    with torch.no_grad(), torch.autocast(batch["input_ids"].device.type, enabled=False):
        output = model.base_model(**encoder.inputs(model, batch), **wanted)
    (layers,) = output["adapter_fusion_attentions"].values()
    return attention_shares(layers, batch["attention_mask"])


def attention_shares(layers: Mapping[int, Mapping[str, Any]], mask: torch.Tensor) -> list[list[float]]:
    """Mean AdapterFusion attention per layer, over all tokens that are not padding.

    Args:
        layers: for each layer and place in it, attention [N, L, adapters].
        mask: 1 for tokens, 0 for padding [N, L].
    """
    shares = []
    for layer in sorted(layers):
        places = [torch.from_numpy(place)[mask.bool().cpu()].mean(dim=0) for place in layers[layer].values()]
        shares.append([float(share) for share in torch.stack(places).mean(dim=0)])
    return shares
