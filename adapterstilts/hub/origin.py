"""Checks the origin of a pulled run, and removes the parts that are valid only where it was trained."""

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

# Fields of a task that locate its data. A stranger's must never decide what this machine reads.
SOURCES = ("folder", "hub", "bundled")


def checked_origin(pulled: Pulled, data: Mapping[str, Any]) -> TrainOrigin:
    """Returns the part of a published run's origin that a pulled run keeps.

    Definitions of tasks lose the locations of their data. Of a task that is registered here only the labels
    are taken. A language adapter per language is dropped: evaluations have to pass one.

    Raises:
        HubError: A path that leads out of the data folder, or another backbone than the card's.
        ConfigError, KeyError, TypeError, ValueError: It is malformed.
    """
    # Later verbs open the files that an origin names, so a path must never lead out of the data folder
    if without_paths(data) != data:
        raise HubError(f"{pulled.repo} is refused: its origin.json contains absolute paths")
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
    """Returns a task's definition without the locations of its data."""
    task = Task.parse(definition, f"task {name}")
    if task.name != name:
        raise ValueError(f"task {name} has the name {task.name}")
    # Otherwise a stranger could redefine "xnli", and its scores would still be shown as XNLI's
    if name in all_tasks():
        registered = get_task(name)
        labels = task.labels if registered.open_labels else registered.labels
        return registered.model_copy(update={"labels": labels}).model_dump(mode="json")
    without_sources = {**dict.fromkeys(SOURCES), "base": None, "parts": ()}
    return task.model_copy(update=without_sources).model_dump(mode="json")
