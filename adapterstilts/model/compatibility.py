"""Which adapters can be stacked, fused, averaged or warm-started, checked before anything is loaded.

Every refusal was found by running adapters 1.3.0: without it the arrangement fails in the forward pass, or
one of the adapters has no effect on the results.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from adapterstilts.composition import UNMERGEABLE, Average, Composition, Fuse
from adapterstilts.errors import AdapterError
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.configs import AdapterSpec, Bottleneck, Lora

UNFUSABLE = {"parallel", "invertible", "lora", "ia3", "prefix_tuning", "union"}  # by AdapterSpec.method

# Names become folder names and keys of modules: no slash, and no dot, which torch does not allow.
NAME = re.compile(r"[A-Za-z0-9_-]+")


def check_composition(
    composition: Composition,
    sources: Sequence[AdapterSpec],
    target: AdapterSpec | None = None,
    language: AdapterSpec | None = None,
) -> None:
    """Refuses a composition that does not work with these adapters.

    Args:
        sources: Configurations of the composition's sources, in its order.
        target: Configuration of the new target adapter.
        language: Configuration of the language adapter at the bottom.

    Raises:
        AdapterError: The composition does not work; the message says why and what works instead.
    """
    _check_methods(composition, tuple(source.method for source in sources))
    bottom = [language] if language else []
    if composition.fuses:
        check_fuse(sources, language)
    elif composition.start:
        check_warm_start([*sources, *([target] if target else [])])
        if len(sources) > 1:
            check_mean(sources[0])
        _check_stack([*bottom, sources[0]])
    else:
        _check_stack([*bottom, *(sources if composition.stacks else ()), *([target] if target else [])])


def check_warm_start(specs: Sequence[AdapterSpec]) -> None:
    """Refuses a start from weights of another shape or meaning.

    Raises:
        AdapterError: Two configurations differ; the message names the keys.
    """
    source = specs[0]
    for spec in specs[1:]:
        if spec.config != source.config:
            keys = sorted(
                key
                for key in {*source.config, *spec.config}
                if source.config.get(key) != spec.config.get(key)
            )
            raise AdapterError(
                f"a warm start requires adapters of one configuration, but '{source.name}' and '{spec.name}' "
                f"differ in {', '.join(keys)}: use the same --config and --set as the source, or stack"
            )


def check_mean(spec: AdapterSpec) -> None:
    """Refuses a mean of several adapters if the mean of their parameters is not that of their functions.

    Raises:
        AdapterError: The method is prefix tuning, Compacter, a union or gated LoRA.
    """
    gated = any(isinstance(part, Lora) and part.use_gating for part in spec.parts.values())
    if spec.method in UNMERGEABLE or gated:
        raise AdapterError(
            f"'{spec.name}' is a {spec.method} adapter, whose weights are products or positions that have no "
            "mean: use sequential, or average adapters of --config seq_bn, double_seq_bn, par_bn, lora or ia3"
        )


def _check_stack(stack: Sequence[AdapterSpec]) -> None:
    """Refuses a stack, from the bottom up, in which an adapter would have no effect."""
    for n, upper in enumerate(stack):
        if n and upper.invertible:
            # Trap: the library applies the invertible part of the first adapter of a stack only.
            raise AdapterError(
                f"'{upper.name}' has an invertible part, which works only at the bottom of a stack, not on "
                f"top of '{stack[0].name}': use seq_bn here"
            )
        for lower in stack[:n]:
            _check_pair(lower, upper)


def _check_pair(lower: AdapterSpec, upper: AdapterSpec) -> None:
    bottlenecks = [spec.parts.get("bottleneck") for spec in (lower, upper)]
    if all(bottlenecks) and any(isinstance(part, Bottleneck) and part.is_parallel for part in bottlenecks):
        raise AdapterError(
            f"'{upper.name}' on top of '{lower.name}': a parallel adapter discards the output of a "
            "bottleneck below it; use sequential or average, or --config seq_bn for both"
        )
    updates = [spec.parts.get("lora") for spec in (lower, upper)]
    if all(updates) and any(isinstance(part, Lora) and part.composition_mode == "add" for part in updates):
        # Trap: in a stack the library feeds the upper LoRA with the output of the lower one.
        raise AdapterError(
            f"'{upper.name}' on top of '{lower.name}': a LoRA takes the output of another LoRA as its input, "
            "and the lower update is lost; use sequential or average, or --config seq_bn for one of them"
        )


def check_name(name: str, names: Collection[str]) -> None:
    """Refuses an invalid name of an adapter or a head, or one that is in use.

    Args:
        names: Names in use.

    Raises:
        AdapterError: The name is invalid or in use.
    """
    if not NAME.fullmatch(name):
        raise AdapterError(f"'{name}' is not a valid adapter or head name: use letters, digits, - and _")
    if name in names:
        raise AdapterError(f"'{name}' is loaded already")


def check_setup(setup: ActiveAdapters, specs: Mapping[str, AdapterSpec]) -> None:
    """Refuses an arrangement in which an adapter would have no effect, or a wrong one.

    Args:
        setup: Arrangement of adapters.
        specs: Configurations of its adapters, by name.

    Raises:
        AdapterError: Adapters cannot be stacked or fused, or there are both a fusion and a target.
    """
    stack = [specs[name] for name in setup.stack]
    _check_stack(stack)
    if not setup.fused:
        return
    if setup.target is not None:
        raise AdapterError("a fusion replaces the target adapter: activate one of the two")
    fused = [specs[name] for name in setup.fused]
    check_fuse(fused, stack[0] if stack else None)
    for spec in fused:
        _check_stack([*stack, spec])


def check_fuse(sources: Sequence[AdapterSpec], language: AdapterSpec | None = None) -> None:
    """Refuses adapters that AdapterFusion cannot mix.

    Args:
        sources: Configurations of the fused adapters.
        language: Configuration of the language adapter at the bottom.

    Raises:
        AdapterError: An adapter is not a plain bottleneck, or the adapters are in different places.
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
            "AdapterFusion requires all adapters in the same places, but "
            f"{' and '.join(sorted(places.values()))} differ in mh_adapter, "
            "output_adapter or leave_out: train them with one --config"
        )
    if language and next(iter(places))[2]:
        raise AdapterError("adapters with leave_out cannot be fused on top of a language adapter")


def _check_methods(composition: Composition, methods: tuple[str, ...]) -> None:
    """Refuses a composition that the adapter methods of its sources do not support.

    Args:
        methods: Value of `AdapterSpec.method` for each source (`bottleneck`, `lora`, `prefix_tuning`, ...).

    Raises:
        AdapterError: The methods do not support the composition; the message names alternatives.
    """
    match composition:
        case Fuse():
            bad = sorted(set(methods) & UNFUSABLE)
            if bad:
                raise AdapterError(
                    f"AdapterFusion mixes sequential bottleneck adapters; {', '.join(bad)} cannot be fused. "
                    "Use stack, sequential or average, or train the sources with --config seq_bn."
                )
        case Average():
            if len(set(methods)) > 1:
                raise AdapterError(f"only adapters of one method can be averaged, not {', '.join(methods)}")
            if set(methods) & UNMERGEABLE:
                raise AdapterError(
                    f"{methods[0]} adapters have no mean in weight space; use stack or sequential, or "
                    "average adapters of --config seq_bn, double_seq_bn, par_bn, lora or ia3."
                )
        case _:
            pass
