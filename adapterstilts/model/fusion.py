"""How an active AdapterFusion divides its attention among the adapters that it mixes."""

from __future__ import annotations

from typing import Any

import torch

from adapterstilts.kinds.base import Batch
from adapterstilts.model import encoder


def fusion_attention(model: Any, batch: Batch) -> list[list[float]]:
    """Returns the mean attention of the active AdapterFusion to each adapter, layer by layer.

    Returns:
        One list per layer with a fusion, from the bottom; in it one share per adapter, which sum to 1. Mean
        over all tokens except padding, and over both places where a layer has two.
    """
    # Without autocast: in float32 whatever precision training used.
    with torch.no_grad(), torch.autocast(batch["input_ids"].device.type, enabled=False):
        output = model.base_model(**encoder.inputs(model, batch), output_adapter_fusion_attentions=True)
    (layers,) = output["adapter_fusion_attentions"].values()  # one active fusion
    tokens = batch["attention_mask"].bool().cpu()
    shares = []
    for layer in sorted(layers):
        # The library returns arrays [N, L, adapters], one per place in the layer.
        places = [torch.from_numpy(attention)[tokens].mean(dim=0) for attention in layers[layer].values()]
        shares.append([float(share) for share in torch.stack(places).mean(dim=0)])
    return shares
