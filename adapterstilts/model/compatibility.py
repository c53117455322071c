"""What can be stacked, fused, averaged or warm-started: the one place that knows, before anything is loaded.

Every refusal here was found by running adapters 1.3.0: the arrangement either fails in the forward pass
or, worse, gives numbers in which one of the adapters has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from adapterstilts.composition import UNMERGEABLE, Composition, check_methods
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.configs import AdapterSpec, Bottleneck, Lora

NAME = re.compile(r"[A-Za-z0-9_-]+")


def check_composition(
    composition: Composition,
    sources: Sequence[AdapterSpec],
    target: AdapterSpec | None = None,
    language: AdapterSpec | None = None,
) -> None:
    """Refuses what `composition` cannot do with these adapters.

    Args:
        sources: of the composition, in its order.
        target: the configuration asked for the target adapter.
        language: the language adapter below everything.

    Raises:
        AdapterError: with the reason and with what works instead.
    """
    check_methods(composition, tuple(source.method for source in sources))
    bottom = [language] if language else []
    if composition.fuses:
        check_fuse(sources, language)
    elif composition.start:
        check_warm_start([*sources, *([target] if target else [])])
        if len(sources) > 1:
            check_mean(sources[0])
        check_stack([*bottom, sources[0]])
    else:
        check_stack([*bottom, *(sources if composition.stacks else ()), *([target] if target else [])])


def check_warm_start(specs: Sequence[AdapterSpec]) -> None:
    """Refuses a start from weights of another shape or meaning.

    Raises:
        AdapterError: two configurations differ; the keys that do are named.
    """
    first = specs[0]
    for other in specs[1:]:
        if other.config != first.config:
            keys = sorted(
                k for k in {*first.config, *other.config} if first.config.get(k) != other.config.get(k)
            )
            raise AdapterError(
                f"a warm start needs adapters of one configuration, but '{first.name}' and '{other.name}' "
                f"differ in {', '.join(keys)}: use the same --config and --set as the source, or stack"
            )


def check_mean(spec: AdapterSpec) -> None:
    """Refuses a mean of several adapters where a mean of their parameters is not one of what they do.

    Raises:
        AdapterError: prefix tuning, Compacter, a union, or gated LoRA.
    """
    gated = any(isinstance(part, Lora) and part.use_gating for part in spec.parts.values())
    if spec.method in UNMERGEABLE or gated:
        raise AdapterError(
            f"'{spec.name}' is a {spec.method} adapter, whose weights are products or positions that have no "
            "mean: use sequential, or average adapters of --config seq_bn, double_seq_bn, par_bn, lora or ia3"
        )


def check_stack(stack: Sequence[AdapterSpec]) -> None:
    """Refuses a stack, from the bottom up, in which an adapter would have no effect.

    Raises:
        AdapterError: parallel adapters over or under bottlenecks, LoRA over LoRA, or an adapter with an
            invertible part anywhere but at the bottom.
    """
    for n, upper in enumerate(stack):
        if n and invertible(upper):
            raise AdapterError(
                f"'{upper.name}' has an invertible part, which works only at the bottom of a stack, not over "
                f"'{stack[0].name}': use seq_bn here"
            )
        for lower in stack[:n]:
            _check_pair(lower, upper)


def _check_pair(lower: AdapterSpec, upper: AdapterSpec) -> None:
    below, above = lower.parts, upper.parts
    bottlenecks = [p["bottleneck"] for p in (below, above) if "bottleneck" in p]
    if len(bottlenecks) == 2 and any(p.is_parallel for p in bottlenecks if isinstance(p, Bottleneck)):
        raise AdapterError(
            f"'{upper.name}' over '{lower.name}': a parallel adapter discards what a bottleneck below it "
            "did; use sequential or average, or --config seq_bn for both"
        )
    updates = [p["lora"] for p in (below, above) if "lora" in p]
    if len(updates) == 2 and any(p.composition_mode == "add" for p in updates if isinstance(p, Lora)):
        raise AdapterError(
            f"'{upper.name}' over '{lower.name}': a LoRA over another takes that one's output for its input, "
            "and the lower update is lost; use sequential or average, or --config seq_bn for one of them"
        )


def check_name(name: str, taken: Collection[str]) -> None:
    """Refuses a name that is taken, or that the library's files would not survive (a dot in it).

    Raises:
        AdapterError: see above.
    """
    if not NAME.fullmatch(name):
        raise AdapterError(f"'{name}' cannot name an adapter or a head: letters, digits, - and _ only")
    if name in taken:
        raise AdapterError(f"'{name}' is loaded already")


def check_setup(setup: ActiveAdapters, specs: Mapping[str, AdapterSpec]) -> None:
    """Refuses an arrangement in which an adapter would have no effect, or the wrong one.

    Args:
        specs: of every adapter that the setup names.

    Raises:
        AdapterError: see `check_stack` and `check_fuse`; or a fusion and a target at once.
    """
    stack = [specs[name] for name in setup.stack]
    check_stack(stack)
    if not setup.fused:
        return
    if setup.target is not None:
        raise AdapterError("a fusion takes the place of the target adapter: give one of the two")
    fused = [specs[name] for name in setup.fused]
    check_fuse(fused, stack[0] if stack else None)
    for spec in fused:
        check_stack([*stack, spec])


def check_layers(spec: AdapterSpec, layers: int) -> None:
    """Refuses layer numbers that the encoder does not have, which the library would ignore.

    Raises:
        ConfigError: in `leave_out` or in a map of reduction factors.
    """
    for kind, part in spec.parts.items():
        factors = part.reduction_factor if isinstance(part, Bottleneck) else None
        numbers = [int(key) for key in factors if key.isdigit()] if isinstance(factors, dict) else []
        for layer in (*part.leave_out, *numbers):
            if layer >= layers:
                raise ConfigError(
                    f"{kind} of '{spec.name}' names layer {layer}, but the encoder has layers "
                    f"0 to {layers - 1}"
                )


def check_fuse(sources: Sequence[AdapterSpec], language: AdapterSpec | None = None) -> None:
    """Refuses adapters that AdapterFusion cannot mix.

    Raises:
        AdapterError: not plain bottlenecks, or not in the same places of the same layers.
    """
    places = {}
    for source in sources:
        part = source.parts.get("bottleneck")
        if not isinstance(part, Bottleneck) or source.method not in ("bottleneck", "compacter"):
            raise AdapterError(
                f"'{source.name}' is a {source.method} adapter; AdapterFusion mixes sequential bottlenecks "
                "only: train it with --config seq_bn, or use stack, sequential or average"
            )
        places[(part.mh_adapter, part.output_adapter, part.leave_out)] = source.name
    if len(places) > 1:
        raise AdapterError(
            "AdapterFusion needs all adapters in the same places, but "
            f"{' and '.join(sorted(places.values()))} differ in mh_adapter, "
            "output_adapter or leave_out: train them with one --config"
        )
    if language and next(iter(places))[2]:
        raise AdapterError("adapters that leave out layers cannot be fused over a language adapter")


def invertible(spec: AdapterSpec) -> bool:
    """Whether the adapter has an invertible part on the embeddings."""
    part = spec.parts.get("bottleneck")
    return isinstance(part, Bottleneck) and part.inv_adapter is not None
