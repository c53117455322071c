"""Checks the form of a run's `metrics.json`, so that a bad run cannot break a list of runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, NoReturn

from adapterstilts.errors import StoreError


def json_object(text: bytes, name: str) -> dict[str, Any]:
    """The JSON object in a run's file.

    This does not use `bounded_json`, which takes twice as long: a list of all runs reads thousands of files.

    Raises:
        StoreError: it is not JSON, not an object, nested too deep, or holds NaN.
    """
    try:
        data = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{name} is not JSON ({str(error)[:200]})") from error
    if not isinstance(data, dict):
        raise StoreError(f"{name} is not a JSON object")
    return data


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def problem_of_metrics(metrics: Mapping[str, Any]) -> str | None:
    """The first error in the form of metrics, or None. Unknown metrics are not checked."""
    for name, value in metrics.items():
        if name in FORMS and not FORMS[name](value):
            return f"metrics.json: {name} has an invalid value"
    return None


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _count_or_none(value: Any) -> bool:
    return value is None or _count(value)


def _list_of(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(fits, value))


def _scores(value: Any) -> bool:
    """Development scores: of one task, or of several under their names."""
    if not isinstance(value, Mapping) or (value and not _number(value.get("score"))):
        return False
    return all(
        _scores(inner) if isinstance(inner, Mapping) else _number_or_none(inner) for inner in value.values()
    )


FORMS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("low", "high", "threshold"), _number_or_none),
    **dict.fromkeys(("examples", "leaked"), _count),
    **dict.fromkeys(("steps", "best_step"), _count_or_none),
    "score": _number,
    "labels": _text,
    "dev": _scores,
    "fusion_attention": lambda value: _list_of(value, lambda layer: _list_of(layer, _number)),
}
