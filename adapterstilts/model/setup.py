"""Which adapters lie on the backbone, in which order, and which head reads the result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import HeadSpec


@dataclass(frozen=True, slots=True)
class Setup:
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


def read_setup(folder: Path) -> tuple[Setup, dict[str, HeadSpec]]:
    """The setup and the heads of a run's folder; where there are several, the setup names none of them.

    Raises:
        AdapterError: it is not the folder of a trained run.
    """
    path = folder / "setup.json"
    if not path.is_file():
        raise AdapterError(f"{folder} holds no trained adapter (no setup.json)")
    described = json.loads(path.read_text(encoding="utf-8"))
    given = described["setup"]
    setup = Setup(
        given["language"], tuple(given["below"]), tuple(given["fused"]), given["target"], given["head"]
    )
    one = {setup.head: described["head"]} if described.get("head") else {}  # as version 0.1 wrote it
    heads = described.get("heads", one)
    return setup, {name: HeadSpec(head["kind"], tuple(head["labels"])) for name, head in heads.items()}


def head_folder(folder: Path, name: str, heads: Mapping[str, HeadSpec]) -> Path:
    """Where one of a run's heads is saved."""
    return folder / "heads" / name if len(heads) > 1 else folder / "head"
