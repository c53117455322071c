"""How much each active adapter changes the hidden states of the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapterstilts.kinds.base import Batch
from adapterstilts.model import encoder
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host


def relative_changes(host: Host, setup: ActiveAdapters, batches: Sequence[Batch]) -> dict[str, list[float]]:
    """Returns the norm of each part's change to the hidden states, relative to their norm without it.

    Frobenius norms over all tokens except padding, in float32 whatever precision training used. `setup` is
    active afterwards.

    Returns:
        Name of the adapter (or `FUSION`) -> one ratio per layer of the encoder, from the bottom.
    """
    stacks = list(setup.partial_stacks())
    # [parts, (change, states), layers]
    sums = torch.zeros(len(stacks), 2, host.files.layers, dtype=torch.float64)
    host.use_training_attention(False)
    for batch in batches:
        host.activate(ActiveAdapters(), train=False)
        previous = _layers(host, batch)
        for part, (_, stack) in enumerate(stacks):
            host.activate(stack, train=False)
            current = _layers(host, batch)
            for layer, (old, new) in enumerate(zip(previous, current, strict=True)):
                sums[part, 0, layer] += float((new - old).double().square().sum())
                sums[part, 1, layer] += float(old.double().square().sum())
            previous = current
    host.activate(setup, train=False)
    # The floor keeps the ratio finite where all states are zero.
    ratios = (sums[:, 0] / sums[:, 1].clamp(min=1e-30)).sqrt().tolist()
    return dict(zip([name for name, _ in stacks], ratios, strict=True))


def _layers(host: Host, batch: Batch) -> list[torch.Tensor]:
    """Returns the hidden states of all tokens except padding [tokens, H], one tensor per layer."""
    mask = batch["attention_mask"].bool()
    with torch.inference_mode(), torch.autocast(mask.device.type, enabled=False):
        inputs = encoder.inputs(host.model, batch)
        output = host.model.base_model(**inputs, output_hidden_states=True)
        # Without the embeddings, which come first. On the CPU: norms are summed in float64, which not
        # every accelerator has.
        return [states[mask].cpu() for states in output.hidden_states[1:]]
