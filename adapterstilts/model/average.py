"""The mean of adapters in weight space."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapterstilts.model import compatibility
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.tensors import Tensors


def average_adapters(
    specs: Sequence[AdapterSpec], states: Sequence[Tensors], weights: Sequence[float]
) -> tuple[AdapterSpec, Tensors]:
    """Returns the weighted mean of adapters; a single adapter with weight 1 is returned unchanged.

    Args:
        specs: Configurations of the adapters; they must be equal.
        states: Tensors of the adapters, under neutral names, which are the same for all.
        weights: Weights of the adapters; adapters with weight 0 are ignored.

    Returns:
        Configuration and tensors of the mean.

    Raises:
        AdapterError: Configurations differ, or the method has no mean.
    """
    compatibility.check_warm_start(specs)
    used = [(state, weight) for state, weight in zip(states, weights, strict=True) if weight]
    states, weights = [state for state, _ in used], [weight for _, weight in used]
    spec = specs[0]
    if weights == [1.0]:
        return spec, states[0]
    compatibility.check_mean(spec)
    if spec.method != "lora":
        return spec, _mean(states, weights)
    # The rank becomes the sum of the ranks. Alpha grows with it, so that the scale alpha / r stays the same.
    sums = {key: len(states) * spec.config[key] for key in ("r", "alpha")}
    return AdapterSpec(name=spec.name, config={**spec.config, **sums}), _lora_mean(states, weights)


def _mean(states: Sequence[Tensors], weights: Sequence[float]) -> Tensors:
    result: Tensors = {}
    for name, tensor in states[0].items():
        # Sums in float64: the result does not depend on the order of the adapters beyond float32 rounding.
        terms = [weight * state[name].double() for weight, state in zip(weights, states, strict=True)]
        result[name] = torch.stack(terms).sum(dim=0).to(tensor.dtype)
    return result


def _lora_mean(states: Sequence[Tensors], weights: Sequence[float]) -> Tensors:
    """Returns LoRA factors whose product is exactly the weighted mean of the adapters' products.

    The mean of each factor is a different matrix: B1 A1 + B2 A2 differs from (B1 + B2)(A1 + A2). The
    concatenated factors [w1 B1, w2 B2] [A1; A2] are exact.
    """
    result: Tensors = {}
    for name in states[0]:
        if name.endswith("lora_A"):
            result[name] = torch.cat([state[name] for state in states], dim=0)
        else:
            terms = [weight * state[name] for weight, state in zip(weights, states, strict=True)]
            result[name] = torch.cat(terms, dim=1)
    return result
