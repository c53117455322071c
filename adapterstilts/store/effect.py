"""What a trained run changes: its adapters in the hidden states, its heads in their predictions.

The numbers are stored under `effect` in `metrics.json`. A run that changes nothing is marked, never refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from adapterstilts.errors import ConfigError
from adapterstilts.store.runs import Run
from adapterstilts.tasks.multitask import TEXT
from adapterstilts.terminal_text import shown
from adapterstilts.values import Value

KEY = "effect"  # in metrics.json
LONGEST_NAME = 80  # characters of a name in a message; names of pulled runs are by strangers
UNCHANGED = 1e-4  # a smaller change of the hidden states, relative to their norm, is none
MARK = "="
MEANING = "an adapter that it uses changes nothing, or a head always predicts one class (see `runs show`)"
NUMBERED = {"choice": "choice", "span": "position", "mlm": "subword"}  # classes of heads without labels


class HeadEffect(Value):
    """The predictions of one head on a few rows.

    Attributes:
        majority: Most frequent predicted class: the index of a label, tag or choice; the position of an
            answer; the id of a subword.
        share: Share of the majority class among the predictions, 0 to 1.
        gold_share: Share of the most frequent gold class among the gold classes.
        predictions: Number of predictions.
        development: Whether the rows are development rows; otherwise they are training rows.
    """

    majority: int
    share: float = Field(ge=0, le=1)
    gold_share: float = Field(ge=0, le=1)
    predictions: int = Field(ge=1)
    development: bool

    @property
    def constant(self) -> bool:
        """Whether the head always predicts one class although there are several gold classes."""
        return self.share == 1 and self.gold_share < 1


class Effect(Value):
    """What the parts of a run change.

    Attributes:
        adapters: Name -> change of the hidden states after each layer, from the bottom, relative to their
            norm without this adapter. `fusion` is an AdapterFusion layer with the adapters that it mixes.
        heads: Effects of the heads, by task.
        examples: Number of inputs on which the change of the hidden states was measured.
    """

    adapters: Mapping[str, tuple[float, ...]] = {}
    heads: Mapping[str, HeadEffect] = {}
    examples: int = 0

    @property
    def idle(self) -> tuple[str, ...]:
        """The adapters that change nothing."""
        return tuple(name for name, layers in self.adapters.items() if max(layers, default=0) < UNCHANGED)

    @property
    def inert(self) -> bool:
        """Whether an adapter changes nothing, or a head always predicts one class."""
        return bool(self.idle) or any(head.constant for head in self.heads.values())

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Effect | None:
        """Returns the effect in a run's metrics; None if it was not measured or is malformed."""
        fields = metrics.get(KEY)
        try:
            return cls.parse(fields, KEY) if isinstance(fields, Mapping) else None
        except ConfigError:
            return None  # metrics of a pulled run may hold anything; the effect is only shown

    @classmethod
    def lines_of(cls, run: Run) -> list[str]:
        """Returns the lines of a run's effect (`lines`); an empty list if it was not measured."""
        effect = cls.of(run.metrics)
        return effect.lines(_heads_of(run)) if effect else []

    def lines(self, heads: Mapping[str, Any]) -> list[str]:
        """Returns a sentence for each adapter and each head; those without effect begin with `warning:`.

        Args:
            heads: Task -> `kind` and `labels` of its head, as in `active_adapters.json`.
        """
        adapters = [_adapter_line(name, layers) for name, layers in self.adapters.items()]
        described = {TEXT: {"kind": "mlm"}, **heads}  # the head for masked subwords is not saved
        return adapters + [_head_line(name, head, described.get(name)) for name, head in self.heads.items()]


def _heads_of(run: Run) -> Mapping[str, Any]:
    try:
        heads = json.loads((run.path / "active_adapters.json").read_bytes())["heads"]
    except (OSError, ValueError, KeyError, TypeError):  # classes are numbered then
        return {}
    return heads if isinstance(heads, Mapping) else {}


def _adapter_line(name: str, layers: Sequence[float]) -> str:
    subject = "the AdapterFusion" if name == "fusion" else f"the adapter '{shown(name, LONGEST_NAME)}'"
    layer_range = f"(layers 1-{len(layers)})"
    low, high = min(layers, default=0), max(layers, default=0)
    if high < UNCHANGED:
        return f"warning: {subject} changes nothing: hidden states differ by {_percent(high)} {layer_range}"
    return f"{subject} changes the hidden states by {_percent(low)} to {_percent(high)} {layer_range}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _head_line(name: str, head: HeadEffect, described: Any) -> str:
    name, rows = shown(name, LONGEST_NAME), "development" if head.development else "training"
    majority = _class(head.majority, described if isinstance(described, Mapping) else {})
    if head.constant:
        return (
            f"warning: the head of {name} always predicts {majority}: 100 % of {head.predictions} "
            f"predictions on {rows} rows (most frequent gold class: {100 * head.gold_share:.0f} %)"
        )
    return (
        f"the head of {name} predicts {majority} most often: {100 * head.share:.0f} % of {head.predictions} "
        f"predictions on {rows} rows"
    )


def _class(number: int, described: Mapping[str, Any]) -> str:
    labels = described.get("labels")
    if isinstance(labels, list) and 0 <= number < len(labels):
        return f"'{shown(labels[number], LONGEST_NAME)}'"
    return f"{NUMBERED.get(str(described.get('kind')), 'class')} {number}"
