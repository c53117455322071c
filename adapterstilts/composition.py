"""How intermediate adapters are joined to a target task: small frozen values, nothing of torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.values import Value


class Joined(Value):
    """What every composition says of itself.

    Attributes:
        start: weights with which the sources' mean starts the target adapter; empty starts it fresh.
        stacks: the sources stay frozen below the target adapter.
        fuses: an AdapterFusion layer over the sources takes the target adapter's place.
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


class Single(Joined):
    """The target adapter alone: no intermediate task."""

    kind: Literal["single"] = "single"
    sources: tuple[()] = ()


class Sequential(Joined):
    """The target adapter starts from the weights of the intermediate one."""

    kind: Literal["sequential"] = "sequential"
    sources: tuple[str]

    @property
    def start(self) -> tuple[float, ...]:
        """The one source in full."""
        return (1.0,)


class Stack(Joined):
    """The intermediate adapter stays frozen below a new target adapter."""

    stacks: ClassVar[bool] = True
    kind: Literal["stack"] = "stack"
    sources: tuple[str]


class Fuse(Joined):
    """An AdapterFusion layer (Pfeiffer et al. 2021) is trained over two to nine frozen adapters."""

    fuses: ClassVar[bool] = True
    kind: Literal["fuse"] = "fuse"
    sources: tuple[str, ...] = Field(min_length=2, max_length=9)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _check_distinct(self.sources)
        return self


class Average(Joined):
    """The target adapter starts from a weighted mean of adapters, in weight space."""

    kind: Literal["average"] = "average"
    sources: tuple[str, ...] = Field(min_length=2)
    weights: tuple[float, ...]

    @property
    def start(self) -> tuple[float, ...]:
        """The weights given."""
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
    """Builds a composition over run keys; weights default to equal ones.

    Raises:
        ConfigError: too few or too many sources, or weights that do not fit.
    """
    if kind == "average":
        if len(sources) < 2:
            raise ConfigError("'average' wants two or more adapters")
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
    """Refuses, before anything loads, what the adapter methods of the sources cannot do.

    Args:
        methods: the `AdapterSpec.method` of each source (`bottleneck`, `lora`, `prefix_tuning`, ...).

    Raises:
        AdapterError: with what works instead.
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
