"""Kinds by name, and the encoding settings that each of them has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.kinds import choice, mining, mlm, retrieval, sequence, span, tagging
from adapterstilts.kinds.base import Encoding, Kind
from adapterstilts.kinds.spec import SPECS
from adapterstilts.tasks.spec import Task

KINDS: dict[str, Kind[Any]] = {}


def register(kind: Kind[Any]) -> None:
    """Makes a kind available to task entries and to all verbs of this process.

    A custom kind is a subclass of `Kind` with a `KindSpec`; register it before its tasks are made.

    Raises:
        ConfigError: The name is taken by another kind.
    """
    if KINDS.get(kind.spec.name, kind) is not kind:
        raise ConfigError(f"a kind '{kind.spec.name}' is registered already: choose another name")
    KINDS[kind.spec.name] = kind
    SPECS[kind.spec.name] = kind.spec


for _kind in (
    sequence.KIND,
    span.KIND,
    tagging.KIND,
    choice.KIND,
    retrieval.KIND,
    mining.KIND,
    mlm.KIND,
):
    register(_kind)


def kind_of(task: Task) -> Kind[Any]:
    """Returns the kind that encodes, decodes and scores `task`."""
    return KINDS[task.kind]


def check_encoding(kinds: Iterable[str], settings: Mapping[str, Any]) -> None:
    """Refuses settings that none of the kinds has.

    Raises:
        ConfigError: An unknown setting (the nearest one is named), one that only other kinds have (they are
            named), or a value that does not fit.
    """
    kinds = sorted(set(kinds))
    for key, value in settings.items():
        having = [name for name in KINDS if key in _fields(name)]
        if not having:
            raise unknown("encoding key", key, {field for name in KINDS for field in _fields(name)})
        fitting = [name for name in kinds if name in having]
        if not fitting:
            raise ConfigError(
                f"encoding: {key} has an effect on {' and '.join(having)} tasks only, not on "
                f"{' or '.join(kinds)} tasks: remove it"
            )
        for name in fitting:
            KINDS[name].encoding.parse({key: value}, "encoding")


def effective(kinds: Iterable[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings without those that only other kinds have; unknown ones stay, to be refused."""
    used = {key for name in kinds for key in _fields(name)}
    unused = {key for name in KINDS for key in _fields(name)} - used
    return {key: value for key, value in settings.items() if key not in unused}


def default_encoding(kind_name: str, settings: Mapping[str, Any]) -> Encoding:
    """Returns the kind's defaults, overridden by `settings`.

    Raises:
        ConfigError: A setting that the kind does not have, or a value that does not fit.
    """
    check_encoding([kind_name], settings)
    encoding: Encoding = KINDS[kind_name].encoding.parse(settings, "encoding")
    return encoding


def encoding_for(task: Task, language: str, settings: Mapping[str, Any]) -> Encoding:
    """Returns the encoding of a task's text in one language.

    Args:
        settings: Overrides of the defaults. Settings of other kinds are skipped, since several tasks share
            them; `check_encoding` refuses those that no task has.

    Raises:
        ConfigError: An unknown setting or a value that does not fit.
    """
    return default_encoding(task.kind, effective([task.kind], settings)).for_language(language)


def _fields(kind_name: str) -> set[str]:
    return set(KINDS[kind_name].encoding.model_fields)
