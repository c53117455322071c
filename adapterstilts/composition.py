"""Compositions of intermediate adapters with a target task, as frozen values that import no torch.

A user's composition holds references of runs, a job's the keys of the runs:

    >>> Sequential("single-mnli-1a2b")
    Sequential(kind='sequential', sources=('single-mnli-1a2b',))
    >>> Average("single-mnli-1a2b", "single-squad_v1-3c4d", weights=(0.7, 0.3)).start
    (0.7, 0.3)
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, ValidationError, model_validator

from adapterstilts.errors import ConfigError
from adapterstilts.values import Value, problem_text


class _FinishedRun(Protocol):
    """A run of the store, which this module cannot import."""

    @property
    def path(self) -> PathLike[str]: ...


Adapter = _FinishedRun | PathLike[str] | str  # a run, its folder, its id, or a unique prefix of the id


class _Composition(Value):
    """Properties of every composition.

    Attributes:
        start: Weights of the sources in the mean that initializes the target adapter; empty: random values.
        stacks: Whether the sources stay frozen below the target adapter.
        fuses: Whether an AdapterFusion layer over the sources replaces the target adapter.
    """

    stacks: ClassVar[bool] = False
    fuses: ClassVar[bool] = False

    def __init__(self, *adapters: Adapter, **fields: Any):
        """Takes adapters from a user, or the fields of a stored job from pydantic.

        Raises:
            ConfigError: The number of adapters does not fit, or one of them is listed twice.
        """
        if not adapters:
            super().__init__(**fields)
            return
        fields["sources"] = tuple(str(getattr(run, "path", run)) for run in adapters)
        try:
            super().__init__(**fields)
        except ValidationError as error:
            name = type(self).__name__
            raise ConfigError(f"{name}: {problem_text(dict(error.errors()[0]))}") from None

    @property
    def start(self) -> tuple[float, ...]:
        """Weights of the sources; see the class."""
        return ()


def _check_distinct(sources: tuple[str, ...]) -> None:
    if len(set(sources)) != len(sources):
        raise ValueError("the same adapter is listed twice")


UNMERGEABLE = {"compacter", "prefix_tuning", "union"}  # their weights are products, or positions


class Single(_Composition):
    """The target adapter alone: no intermediate task."""

    kind: Literal["single"] = "single"
    sources: tuple[()] = ()


class Sequential(_Composition):
    """The target adapter starts from the weights of the intermediate one."""

    kind: Literal["sequential"] = "sequential"
    sources: tuple[str]

    def __init__(self, *adapters: Adapter, **fields: Any):
        """Takes the intermediate adapter."""
        super().__init__(*adapters, **fields)

    @property
    def start(self) -> tuple[float, ...]:
        """All weight on the only source."""
        return (1.0,)


class Stack(_Composition):
    """The intermediate adapter stays frozen below a new target adapter."""

    stacks: ClassVar[bool] = True
    kind: Literal["stack"] = "stack"
    sources: tuple[str]

    def __init__(self, *adapters: Adapter, **fields: Any):
        """Takes the intermediate adapter."""
        super().__init__(*adapters, **fields)


class Fuse(_Composition):
    """An AdapterFusion layer (Pfeiffer et al. 2021) is trained over two to nine frozen adapters."""

    fuses: ClassVar[bool] = True
    kind: Literal["fuse"] = "fuse"
    sources: tuple[str, ...] = Field(min_length=2, max_length=9)

    def __init__(self, *adapters: Adapter, **fields: Any):
        """Takes two to nine adapters."""
        super().__init__(*adapters, **fields)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _check_distinct(self.sources)
        return self


class Average(_Composition):
    """The target adapter starts from a weighted mean of adapters, in weight space."""

    kind: Literal["average"] = "average"
    sources: tuple[str, ...] = Field(min_length=2)
    weights: tuple[float, ...]

    def __init__(self, *adapters: Adapter, weights: Sequence[float] = (), **fields: Any):
        """Takes two or more adapters, and their weights, which are equal by default."""
        number = len(adapters or fields.get("sources", ()))
        super().__init__(*adapters, weights=tuple(weights or (1 / number for _ in range(number))), **fields)

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


def make(kind: CompositionName, sources: Sequence[str], weights: Sequence[float] = ()) -> Composition:
    """Returns the composition of that name over run keys or references; the default weights are equal.

    Raises:
        ConfigError: Too few or too many sources, or invalid weights.
    """
    classes: dict[str, type[Composition]] = {
        "single": Single,
        "sequential": Sequential,
        "stack": Stack,
        "fuse": Fuse,
        "average": Average,
    }
    if kind == "average" and len(sources) < 2:
        raise ConfigError("'average' requires two or more adapters")
    if weights and kind != "average":
        raise ConfigError(f"weights belong to 'average', not to '{kind}'")
    fields = {"sources": tuple(sources), **({"weights": tuple(weights)} if weights else {})}
    return classes[kind].parse(fields, kind)
