"""The training data of a run and of all runs that it was built on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adapterstilts.data.item_digests import Digests, Part, digests, origins, parts, read_items
from adapterstilts.errors import StoreError
from adapterstilts.store import Run, Store
from adapterstilts.store.origin import Ancestors, FileRows, TrainOrigin
from adapterstilts.tasks.citations import Credit
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT, split_name


@dataclass(frozen=True)
class History:
    """The training data of a run and of the runs that it was built on.

    Attributes:
        items: Sorted digests of the items.
        parts: Rows of files that they were read from.
        unknown: Sentences that describe what could not be determined.
        credits: Data sets to credit.
    """

    items: Digests
    parts: frozenset[Part]
    unknown: tuple[str, ...]
    credits: tuple[Credit, ...] = ()

    def as_ancestors(self) -> Ancestors:
        """Returns everything except the items, in the form that the origin of a derived run stores."""
        files = (FileRows(sha256=part.file, slice=(part.first, part.last)) for part in sorted(self.parts))
        return Ancestors(files=tuple(files), unknown=self.unknown, credits=self.credits)

    @staticmethod
    def union(histories: Iterable[History]) -> History:
        """Returns the union of several histories."""
        histories = list(histories)
        return History(
            np.unique(np.concatenate([digests(()), *(part.items for part in histories)])),
            frozenset[Part]().union(*(part.parts for part in histories)),
            tuple(dict.fromkeys(line for part in histories for line in part.unknown)),
            tuple(dict.fromkeys(credit for part in histories for credit in part.credits)),
        )

    @staticmethod
    def of(store: Store, run: Run) -> History:
        """Returns the training data of a run and of the runs that it was built on.

        All of it is in the run's origin. For a run without an origin, its sources are searched in the store.
        """
        origin = TrainOrigin.read(run.path)
        item_digests = read_items(run.path)
        ancestors = origin.ancestors if origin else Ancestors()
        unknown = []
        if item_digests is None:
            unknown.append(f"the items that {run.id} was trained on could not be checked")
        # Only the originals of translated rows can be compared with evaluated items.
        if origin and any(record.get("originals") is False for record in origins(origin.data)):
            unknown.append(f"the originals of the translated rows that {run.id} was trained on are not known")
        trained = History(
            digests(()) if item_digests is None else item_digests,
            parts(origin.data if origin else {})
            | {Part(file.sha256, *file.slice) for file in ancestors.files},
            (*unknown, *ancestors.unknown),
            tuple(dict.fromkeys(_credits(run, ancestors))),
        )
        if origin:
            return trained
        return History.union([trained, *(_source_history(store, run, key) for key in run.parents)])


def _credits(run: Run, ancestors: Ancestors) -> Iterable[Credit]:
    """Yields the credits of the ancestors, then those of the run's own tasks if it was trained."""
    yield from ancestors.credits
    job = run.training
    # "published": somebody else trained it, and the task that was passed to `pull` is credited.
    if job.hyperparameters or "published" in job.data:
        yield from Credit.of(run.tasks)
    if job.language_adapter or TEXT in split_name(job.task):
        yield from Credit.of([get_task(TEXT)])


def _source_history(store: Store, run: Run, key: str) -> History:
    """Returns the history of a source, from the store or from the folder of the run that was built on it."""
    for place in (store, Store(run.path.parent)):
        try:
            source = place.with_key(key)
        except StoreError:  # damaged: the other place may have an intact copy
            continue
        if source:
            return History.of(store, source)
    title = f"the training data of the removed run {key[:12]}"
    unknown = Credit(task=key[:12], title=title, licence="not known", citation="not known")
    return History(digests(()), frozenset(), (f"{title} could not be checked",), (unknown,))
