"""The mean of adapters in weight space."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapterstilts.model import compatibility
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.tensors import Tensors


def merged(
    specs: Sequence[AdapterSpec], states: Sequence[Tensors], weights: Sequence[float]
) -> tuple[AdapterSpec, Tensors]:
    """The weighted mean of adapters; of one with weight 1, its copy.

    Args:
        specs, states: of each adapter; the tensors' names are neutral, the same for all.

    Returns:
        Configuration and tensors of the result.

    Raises:
        AdapterError: configurations differ, or a method that has no mean.
    """
    compatibility.check_warm_start(specs)
    used = [(state, weight) for state, weight in zip(states, weights, strict=True) if weight]
    states, weights = [state for state, _ in used], [weight for _, weight in used]
    spec = specs[0]
    if weights == [1.0]:
        return spec, states[0]
    compatibility.check_mean(spec)
    if spec.method != "lora":
        return spec, mean(states, weights)
    grown = {key: len(states) * spec.config[key] for key in ("r", "alpha")}  # alpha / r stays
    return AdapterSpec(name=spec.name, config={**spec.config, **grown}), lora_mean(states, weights)


def mean(states: Sequence[Tensors], weights: Sequence[float]) -> Tensors:
    """The weighted mean of each tensor, summed in float64."""
    result: Tensors = {}
    for name, tensor in states[0].items():
        terms = [weight * state[name].double() for weight, state in zip(weights, states, strict=True)]
        result[name] = torch.stack(terms).sum(dim=0).to(tensor.dtype)
    return result


def lora_mean(states: Sequence[Tensors], weights: Sequence[float]) -> Tensors:
    """LoRA factors whose product is exactly the weighted mean of the adapters' products.

    A mean of each factor is not that: B1 A1 + B2 A2 differs from (B1 + B2)(A1 + A2). The factors side by
    side, [w1 B1, w2 B2] [A1; A2], are exact; the rank is the sum of the ranks.
    """
    result: Tensors = {}
    for name in states[0]:
        if name.endswith("lora_A"):
            result[name] = torch.cat([state[name] for state in states], dim=0)
        else:
            terms = [weight * state[name] for weight, state in zip(weights, states, strict=True)]
            result[name] = torch.cat(terms, dim=1)
    return result
