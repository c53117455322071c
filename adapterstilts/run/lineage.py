"""What a run, and all that it was built on, was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapterstilts.data.item_digests import Digests, Part, digests, origins, parts, read_items
from adapterstilts.errors import StoreError
from adapterstilts.store import Run, Store, tasks_of
from adapterstilts.store.origin import read_origin
from adapterstilts.tasks import registry
from adapterstilts.tasks.citations import Credit, credits_of
from adapterstilts.tasks.multitask import TEXT, split_name


@dataclass(frozen=True)
class History:
    """What was trained on.

    Attributes:
        items: sorted digests of the items.
        parts: the rows of files that they were read from.
        unknown: what could not be found out.
        credits: the data sets.
    """

    items: Digests
    parts: frozenset[Part]
    unknown: tuple[str, ...]
    credits: tuple[Credit, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All but the items, as a run's origin keeps it ("before") of the runs that it was built on."""
        named = [{"sha256": part.file, "slice": [part.first, part.last]} for part in sorted(self.parts)]
        credited = [credit.model_dump(mode="json") for credit in self.credits]
        return {"parts": named, "unknown": list(self.unknown), "credits": credited}


def together(histories: Iterable[History]) -> History:
    """Several as one."""
    found = list(histories)
    return History(
        np.unique(np.concatenate([digests(()), *(each.items for each in found)])),
        frozenset[Part]().union(*(each.parts for each in found)),
        tuple(dict.fromkeys(line for each in found for line in each.unknown)),
        tuple(dict.fromkeys(credit for each in found for credit in each.credits)),
    )


def history(store: Store, run: Run) -> History:
    """What a run was trained on, with what it was built on.

    A run keeps all of it; of one of an earlier form, which knows of itself alone, the sources are looked up.
    """
    origin = read_origin(run.path)
    found = read_items(run.path)
    own = History(
        digests(()) if found is None else found,
        parts(origin),
        tuple(_unknown(run, origin, found)),
        tuple(dict.fromkeys(_credits(run, origin))),
    )
    if "credits" in origin.get("before", ()):
        return own
    keys = run.training.composition.sources
    sources = [_of_source(store, run, key) for key in keys]
    if "before" in origin:  # all but the credits
        return replace(own, credits=together([own, *sources]).credits)
    return together([own, *sources])


def _unknown(run: Run, origin: dict[str, Any], found: Digests | None) -> Iterable[str]:
    if found is None:
        yield f"what {run.id} was trained on could not be checked"
    if any(each.get("originals") is False for each in origins(origin)):
        yield f"the originals of the translated rows that {run.id} was trained on are not known"
    yield from origin.get("before", {}).get("unknown", ())


def _credits(run: Run, origin: dict[str, Any]) -> Iterable[Credit]:
    """Of the run's own tasks, where it (or whoever published it) trained, and of those before it."""
    yield from map(Credit.model_validate, origin.get("before", {}).get("credits", ()))
    job = run.training
    if job.hyperparameters or "published" in job.data:
        yield from credits_of(tasks_of(run))
    if job.language_adapter or TEXT in split_name(job.task):
        yield from credits_of([registry.get(TEXT)])


def _of_source(store: Store, run: Run, key: str) -> History:
    """The history of a run by its key, from the store or from beside the run that was built on it."""
    for place in (store, Store(run.path.parent)):
        try:
            found = place.with_key(key)
        except StoreError:  # damaged
            continue
        if found:
            return history(store, found)
    what = f"what the run {key[:12]}, which is gone, was trained on"
    unknown = Credit(task=key[:12], title=what, licence="not known", citation="not known")
    return History(digests(()), frozenset(), (f"{what} could not be checked",), (unknown,))
