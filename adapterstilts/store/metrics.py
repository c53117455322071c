"""Checks the form of a run's `metrics.json`, so that a bad run cannot break a list of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from adapterstilts.errors import StoreError


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """Checks the metrics that other code reads. Unknown metrics are not checked.

    Raises:
        StoreError: A metric has an invalid value.
    """
    for name, value in metrics.items():
        if name in CHECKS and not CHECKS[name](value):
            raise StoreError(f"metrics.json: {name} has an invalid value")


def _is_number(value: Any) -> bool:
    # `True` is an int in Python, but no score.
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_number_or_none(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_count(value: Any) -> bool:
    # 2**53: readers of JSON that know floats only would change a larger number.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_count_or_none(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_list(value: Any, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(check, value))


def _are_scores(value: Any) -> bool:
    """Whether a value is development scores: those of one task, or of each task by its name."""
    if not isinstance(value, Mapping) or (value and not _is_number(value.get("score"))):
        return False
    return all(
        _are_scores(item) if isinstance(item, Mapping) else _is_number_or_none(item)
        for item in value.values()
    )


CHECKS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("low", "high", "threshold"), _is_number_or_none),
    **dict.fromkeys(("examples", "leaked"), _is_count),
    **dict.fromkeys(("steps", "best_step"), _is_count_or_none),
    "score": _is_number,
    "labels": lambda value: isinstance(value, str),
    "dev": _are_scores,
    "fusion_attention": lambda value: _is_list(value, lambda layer: _is_list(layer, _is_number)),
}
