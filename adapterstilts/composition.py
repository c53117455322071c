"""Compositions of intermediate adapters with a target task, as frozen values that import no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.values import Value


class _Composition(Value):
    """Properties of every composition.

    Attributes:
        start: Weights of the sources in the mean that initializes the target adapter; empty: random values.
        stacks: Whether the sources stay frozen below the target adapter.
        fuses: Whether an AdapterFusion layer over the sources replaces the target adapter.
    """

    stacks: ClassVar[bool] = False
    fuses: ClassVar[bool] = False

    @property
    def start(self) -> tuple[float, ...]:
        """Weights of the sources; see the class."""
        return ()


def _check_distinct(sources: tuple[str, ...]) -> None:
    if len(set(sources)) != len(sources):
        raise ValueError("the same adapter is listed twice")


UNFUSABLE = {"parallel", "invertible", "lora", "ia3", "prefix_tuning", "union"}  # by AdapterSpec.method
UNMERGEABLE = {"compacter", "prefix_tuning", "union"}  # their weights are products, or positions


class Single(_Composition):
    """The target adapter alone: no intermediate task."""

    kind: Literal["single"] = "single"
    sources: tuple[()] = ()


class Sequential(_Composition):
    """The target adapter starts from the weights of the intermediate one."""

    kind: Literal["sequential"] = "sequential"
    sources: tuple[str]

    @property
    def start(self) -> tuple[float, ...]:
        """All weight on the only source."""
        return (1.0,)


class Stack(_Composition):
    """The intermediate adapter stays frozen below a new target adapter."""

    stacks: ClassVar[bool] = True
    kind: Literal["stack"] = "stack"
    sources: tuple[str]


class Fuse(_Composition):
    """An AdapterFusion layer (Pfeiffer et al. 2021) is trained over two to nine frozen adapters."""

    fuses: ClassVar[bool] = True
    kind: Literal["fuse"] = "fuse"
    sources: tuple[str, ...] = Field(min_length=2, max_length=9)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _check_distinct(self.sources)
        return self


class Average(_Composition):
    """The target adapter starts from a weighted mean of adapters, in weight space."""

    kind: Literal["average"] = "average"
    sources: tuple[str, ...] = Field(min_length=2)
    weights: tuple[float, ...]

    @property
    def start(self) -> tuple[float, ...]:
        """Weights of the sources."""
        return self.weights

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _check_distinct(self.sources)
        return self

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if len(self.weights) != len(self.sources):
            raise ValueError(f"{len(self.sources)} adapters but {len(self.weights)} weights")
        if abs(sum(self.weights) - 1) > 1e-6:
            raise ValueError(f"weights must sum to 1, not {sum(self.weights):g}")
        return self


Composition = Annotated[Single | Sequential | Stack | Fuse | Average, Field(discriminator="kind")]
CompositionName = Literal["single", "sequential", "stack", "fuse", "average"]


def make(kind: CompositionName, sources: tuple[str, ...], weights: tuple[float, ...] = ()) -> Composition:
    """Builds a composition over run keys; the default weights are equal.

    Raises:
        ConfigError: Too few or too many sources, or invalid weights.
    """
    if kind == "average":
        if len(sources) < 2:
            raise ConfigError("'average' requires two or more adapters")
        even = tuple(1 / len(sources) for _ in sources)
        return Average.parse({"sources": sources, "weights": weights or even}, "average")
    if weights:
        raise ConfigError(f"weights belong to 'average', not to '{kind}'")
    classes: dict[str, type[Single | Sequential | Stack | Fuse]] = {
        "single": Single,
        "sequential": Sequential,
        "stack": Stack,
        "fuse": Fuse,
    }
    return classes[kind].parse({"sources": sources}, kind)


def check_methods(composition: Composition, methods: tuple[str, ...]) -> None:
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
