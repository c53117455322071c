"""Which adapters lie on the backbone, in which order, and which head reads the result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActiveAdapters:
    """An arrangement of loaded adapters, from the bottom up.

    What trains: the target adapter, or the AdapterFusion layer where there are fused ones; and the head.

    Attributes:
        language: language adapter (MAD-X), below everything and frozen.
        below: frozen adapters under the target.
        fused: frozen adapters that an AdapterFusion layer mixes; `target` is None then.
        target: the adapter on top.
        head: the prediction head.
    """

    language: str | None = None
    below: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()
    target: str | None = None
    head: str | None = None

    @property
    def stack(self) -> tuple[str, ...]:
        """The adapters outside the fusion, from the bottom up."""
        names = (self.language, *self.below, self.target)
        return tuple(name for name in names if name is not None)
