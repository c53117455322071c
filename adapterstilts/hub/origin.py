"""The origin of a pulled run: only what was understood is kept, and nothing else decides anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapterstilts.data.item_digests import parts
from adapterstilts.errors import HubError
from adapterstilts.hub.card_data import without_paths
from adapterstilts.hub.markdown import one_line
from adapterstilts.tasks import registry
from adapterstilts.tasks.citations import Credit
from adapterstilts.tasks.spec import Task
from adapterstilts.values import Value, distinct

ROWS = ("train", "dev", "data", "translated")  # where rows were read from, for cards and against leaks
SOURCES = ("folder", "hub", "bundled")


class Backbone(Value):
    """What a run's origin says of its backbone (see `run/trained_backbone.py`)."""

    name: str
    commit: str | None
    fingerprint: str
    tokenizer: str | None = None


class File(Value):
    """Rows of a file that were trained on; the last number is out of reach where it is all of them."""

    sha256: str
    slice: tuple[int, int]


class Before(Value):
    """What a run's origin says of the runs that it was built on (see `run/lineage.py`)."""

    parts: tuple[File, ...] = ()
    unknown: tuple[str, ...] = ()
    credits: tuple[Credit, ...] = ()


def kept(repo: str, origin: Mapping[str, Any], backbone: Mapping[str, str]) -> dict[str, Any]:
    """What is kept of a published run's origin.

    Definitions of tasks come without the places of their data, and one of ours counts for its labels alone; a
    language adapter for other languages has to be named by whoever evaluates.

    Args:
        backbone: name and fingerprint that the card gives.

    Raises:
        HubError: a path that leads out of the data folder, or another backbone than the card's.
        ConfigError, KeyError, TypeError, ValueError: it is malformed.
    """
    if without_paths(origin) != origin:
        raise HubError(f"{repo} is refused: its origin.json names paths of a machine")
    told = Backbone.parse(origin["backbone"], "backbone")
    if (one_line(told.name), told.fingerprint) != (backbone.get("name"), backbone.get("fingerprint")):
        listed, own = distinct(str(backbone.get("fingerprint")), told.fingerprint)
        raise HubError(
            f"{repo} is refused: its card and its origin.json name different backbones "
            f"({backbone.get('name')}, {listed}, and {told.name}, {own})"
        )
    found = {name: origin[name] for name in ROWS if name in origin}
    parts(found)  # reads all of it
    return {
        **found,
        "backbone": told.model_dump(exclude_none=told.tokenizer is None) | {"commit": told.commit},
        "language_adapter": None,
        "before": Before.parse(origin["before"], "before").model_dump(mode="json"),
        "tasks": {name: _task(name, each) for name, each in origin.get("tasks", {}).items()},
    }


def _task(name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """A task's definition without the places of its data."""
    task = Task.parse(definition, f"task {name}")
    if task.name != name:
        raise ValueError(f"task {name} is called {task.name}")
    if name in registry.all_tasks():
        own = registry.get(name)
        labels = task.labels if own.open_labels else own.labels
        return own.model_copy(update={"labels": labels}).model_dump(mode="json")
    bare = {**dict.fromkeys(SOURCES), "base": None, "parts": ()}
    return task.model_copy(update=bare).model_dump(mode="json")
