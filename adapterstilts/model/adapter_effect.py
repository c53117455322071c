"""How much each adapter of an arrangement changes the hidden states of the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from adapterstilts.kinds.base import Batch
from adapterstilts.model import encoder
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host

FUSION = "fusion"  # the name of an AdapterFusion layer beside the adapters' names


def stages(setup: ActiveAdapters) -> Iterator[tuple[str, ActiveAdapters]]:
    """The arrangement as it is built up from the bottom: the name of each part, and all up to that part."""
    built = ActiveAdapters()
    if setup.language:
        built = replace(built, language=setup.language)
        yield setup.language, built
    for count, name in enumerate(setup.below, 1):
        built = replace(built, below=setup.below[:count])
        yield name, built
    if setup.fused:
        yield FUSION, replace(built, fused=setup.fused)
    elif setup.target:
        yield setup.target, replace(built, target=setup.target)


def relative_changes(host: Host, setup: ActiveAdapters, batches: Sequence[Batch]) -> dict[str, list[float]]:
    """The norm of the change that each part makes to the hidden states, relative to their norm without it.

    Frobenius norms over all tokens except padding, in float32 whatever the training computed in. `setup` is
    active afterwards.

    Returns:
        Name of the adapter (or `FUSION`) -> one ratio for each layer of the encoder, from the bottom.
    """
    names = [name for name, _ in stages(setup)]
    sums = torch.zeros(len(names), 2, host.files.layers, dtype=torch.float64)
    host.training_attention(False)
    for batch in batches:
        host.activate(ActiveAdapters(), train=False)
        before = _layers(host, batch)
        for part, (_, built) in enumerate(stages(setup)):
            host.activate(built, train=False)
            after = _layers(host, batch)
            for layer, (old, new) in enumerate(zip(before, after, strict=True)):
                sums[part, 0, layer] += float((new - old).double().square().sum())
                sums[part, 1, layer] += float(old.double().square().sum())
            before = after
    host.activate(setup, train=False)
    ratios = (sums[:, 0] / sums[:, 1].clamp(min=1e-30)).sqrt().tolist()
    return dict(zip(names, ratios, strict=True))


def _layers(host: Host, batch: Batch) -> list[torch.Tensor]:
    """Hidden states after each layer, of all tokens except padding [tokens, H], on the CPU.

    Their norms are summed in float64, which not every accelerator has.
    """
    mask = batch["attention_mask"].bool()
    with torch.inference_mode(), torch.autocast(mask.device.type, enabled=False):
        return [states[mask].cpu() for states in encoder.every_layer(host.model, batch)]
