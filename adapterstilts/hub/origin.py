"""The origin of a pulled run: only what was understood is kept, and nothing else decides anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapterstilts.errors import HubError
from adapterstilts.hub.card_data import without_paths
from adapterstilts.hub.download import Pulled
from adapterstilts.hub.markdown import one_line
from adapterstilts.store.origin import PulledFrom, TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import Task
from adapterstilts.values import distinct

SOURCES = ("folder", "hub", "bundled")


def checked_origin(pulled: Pulled, data: Mapping[str, Any]) -> TrainOrigin:
    """Returns the part of a published run's origin that a pulled run keeps.

    Definitions of tasks lose the places of their data, and the definition of a task that this version knows
    counts for its labels alone. A language adapter per language is dropped: evaluations have to pass one.

    Raises:
        HubError: A path that leads out of the data folder, or another backbone than the card's.
        ConfigError, KeyError, TypeError, ValueError: It is malformed.
    """
    if without_paths(data) != data:
        raise HubError(f"{pulled.repo} is refused: its origin.json names paths of a machine")
    origin = TrainOrigin.parse(data)
    backbone = pulled.record.backbone if pulled.record else {}
    if (one_line(origin.backbone.name), origin.backbone.fingerprint) != (
        backbone.get("name"),
        backbone.get("fingerprint"),
    ):
        on_card, in_origin = distinct(str(backbone.get("fingerprint")), origin.backbone.fingerprint)
        raise HubError(
            f"{pulled.repo} is refused: its card and its origin.json name different backbones "
            f"({backbone.get('name')}, {on_card}, and {origin.backbone.name}, {in_origin})"
        )
    changes = {
        "language_adapter": None,
        "tasks": {name: _task(name, definition) for name, definition in origin.tasks.items()},
        "pulled": PulledFrom(repo=pulled.repo, commit=pulled.commit),
    }
    return origin.model_copy(update=changes)


def _task(name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """A task's definition without the places of its data."""
    task = Task.parse(definition, f"task {name}")
    if task.name != name:
        raise ValueError(f"task {name} is called {task.name}")
    if name in all_tasks():
        own = get_task(name)
        labels = task.labels if own.open_labels else own.labels
        return own.model_copy(update={"labels": labels}).model_dump(mode="json")
    bare = {**dict.fromkeys(SOURCES), "base": None, "parts": ()}
    return task.model_copy(update=bare).model_dump(mode="json")
