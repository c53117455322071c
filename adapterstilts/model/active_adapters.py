"""Which adapters are active on the backbone, in which order, and which head reads the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

FUSION = "fusion"  # name of the AdapterFusion layer in `partial_stacks`; adapters keep their names


@dataclass(frozen=True, slots=True)
class ActiveAdapters:
    """An arrangement of loaded adapters, from the bottom up.

    The target adapter trains, or the AdapterFusion layer if there are fused adapters; and the head.

    Attributes:
        language: Language adapter (MAD-X), at the bottom and frozen.
        below: Frozen adapters between the language adapter and the target.
        fused: Frozen adapters that an AdapterFusion layer mixes; `target` is None then.
        target: Adapter on top.
        head: Prediction head.
    """

    language: str | None = None
    below: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()
    target: str | None = None
    head: str | None = None

    @property
    def stack(self) -> tuple[str, ...]:
        """Names of the adapters outside the fusion, from the bottom up."""
        names = (self.language, *self.below, self.target)
        return tuple(name for name in names if name is not None)

    def partial_stacks(self) -> Iterator[tuple[str, ActiveAdapters]]:
        """Yields each part from the bottom up, with the arrangement up to and including it, without head."""
        stack = ActiveAdapters()
        if self.language:
            stack = replace(stack, language=self.language)
            yield self.language, stack
        for count, name in enumerate(self.below, 1):
            stack = replace(stack, below=self.below[:count])
            yield name, stack
        if self.fused:
            yield FUSION, replace(stack, fused=self.fused)
        elif self.target:
            yield self.target, replace(stack, target=self.target)
