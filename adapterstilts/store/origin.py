"""A run's `origin.json`: the form that its readers rely on, checked before any of it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adapterstilts.bounded_json import MEGABYTE, Limits, read_object
from adapterstilts.errors import DamagedError, StoreError
from adapterstilts.store.files import ORIGIN

LIMITS = Limits(size=16 * MEGABYTE)
LONGEST = 4_096  # characters of a name or a path


def read_origin(folder: Path, *required: str) -> dict[str, Any]:
    """Reads where a run's data and backbone came from; empty where the run has no such file.

    Args:
        folder: The run's folder.
        required: Keys that must be there.

    Raises:
        DamagedError: The file is not JSON, has another form, or lacks a required key.
    """
    path = folder / ORIGIN
    try:
        origin = read_object(path, StoreError, LIMITS) if path.is_file() else {}
    except StoreError as error:
        raise DamagedError(f"run {folder.name} is damaged: {error}", folder.name) from None
    missing = next((f"it has no '{key}'" for key in required if key not in origin), None)
    problem = missing or _problem(origin)
    if problem:
        raise DamagedError(f"run {folder.name} is damaged: {ORIGIN}: {problem}", folder.name)
    return origin


def _problem(origin: Mapping[str, Any]) -> str | None:
    for key, fits in FORMS.items():
        if key in origin and not fits(origin[key]):
            return f"'{key}' is not what it should be"
    return None if _files_fit(origin) else "a record of a file is not what it should be"


def _name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _name_or_none(value: Any) -> bool:
    return value is None or _name(value)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _count_or_none(value: Any) -> bool:
    return value is None or _count(value)


def _record(**forms: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An object in which these keys, where they are there, hold what they should."""

    def fits(value: Any) -> bool:
        return isinstance(value, dict) and all(
            form(value[key]) for key, form in forms.items() if key in value
        )

    return fits


def _with(fits: Callable[[Any], bool], *keys: str) -> Callable[[Any], bool]:
    return lambda value: fits(value) and all(key in value for key in keys)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _slice(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_count, value)))


def _files_fit(value: Any) -> bool:
    """Whether every record of a file, at any depth, has a digest and says which rows were read."""
    if isinstance(value, dict):
        if "sha256" in value and not (_name(value["sha256"]) and _slice(value.get("slice", ()))):
            return False
        return all(map(_files_fit, value.values()))
    return not isinstance(value, list) or all(map(_files_fit, value))


PULLED = _with(_record(repo=_name, commit=_name), "repo", "commit")
CREDIT = {"task": _name, "title": _name, "licence": _name, "citation": _name}
FORMS: Mapping[str, Callable[[Any], bool]] = {
    "backbone": _with(
        _record(name=_name, commit=_name_or_none, fingerprint=_name, tokenizer=_name), "name", "commit"
    ),
    "tasks": lambda tasks: isinstance(tasks, dict) and all(isinstance(task, dict) for task in tasks.values()),
    "before": _record(
        parts=_list_of(_record()),
        unknown=_list_of(_name),
        credits=_list_of(_with(_record(**CREDIT, dataset=_name_or_none), *CREDIT)),
    ),
    "language_adapter": _name_or_none,
    "pulled": lambda pulled: pulled is None or PULLED(pulled),
    **dict.fromkeys(("train", "dev"), lambda value: isinstance(value, dict | list) or value is None),
    **dict.fromkeys(("limit", "seed", "dropped"), _count_or_none),
    **dict.fromkeys(("file", "commit"), _name_or_none),
    "slice": _slice,
}
