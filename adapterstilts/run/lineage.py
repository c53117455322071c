"""What a run, and all that it was built on, was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adapterstilts.data.item_digests import Digests, Part, digests, origins, parts, read_items
from adapterstilts.errors import StoreError
from adapterstilts.store import Run, Store, tasks_of
from adapterstilts.store.origin import Ancestors, FileRows, TrainOrigin
from adapterstilts.tasks.citations import Credit, credits_of
from adapterstilts.tasks.lookup import get_task
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

    def as_ancestors(self) -> Ancestors:
        """Returns all but the items, as the origins of runs that are built on these keep it."""
        files = (FileRows(sha256=part.file, slice=(part.first, part.last)) for part in sorted(self.parts))
        return Ancestors(files=tuple(files), unknown=self.unknown, credits=self.credits)


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
    """Returns what a run and the runs that it was built on were trained on.

    All of it is in the run's origin; the sources of a run without one are looked up in the store.
    """
    origin = TrainOrigin.read(run.path)
    found = read_items(run.path)
    ancestors = origin.ancestors if origin else Ancestors()
    own = History(
        digests(()) if found is None else found,
        parts(origin.data if origin else {}) | {Part(file.sha256, *file.slice) for file in ancestors.files},
        tuple(_unknown(run, origin, found)),
        tuple(dict.fromkeys(_credits(run, ancestors))),
    )
    if origin:
        return own
    sources = [_of_source(store, run, key) for key in run.training.composition.sources]
    return together([own, *sources])


def _unknown(run: Run, origin: TrainOrigin | None, found: Digests | None) -> Iterable[str]:
    if found is None:
        yield f"what {run.id} was trained on could not be checked"
    if origin is None:
        return
    if any(record.get("originals") is False for record in origins(origin.data)):
        yield f"the originals of the translated rows that {run.id} was trained on are not known"
    yield from origin.ancestors.unknown


def _credits(run: Run, ancestors: Ancestors) -> Iterable[Credit]:
    """Of the run's own tasks, where it (or whoever published it) trained, and of those before it."""
    yield from ancestors.credits
    job = run.training
    if job.hyperparameters or "published" in job.data:
        yield from credits_of(tasks_of(run))
    if job.language_adapter or TEXT in split_name(job.task):
        yield from credits_of([get_task(TEXT)])


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
