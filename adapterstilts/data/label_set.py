"""Label sets that come from the training rows (supertags)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from adapterstilts.data.converters import OTHER
from adapterstilts.data.rows import Row, TaggedRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task


def with_labels(task: Task, rows: Sequence[Row]) -> tuple[Task, tuple[Row, ...]]:
    """Returns the task with its label set, and its training rows with these labels.

    The labels are those that occur at least `task.open_labels` times in the rows, in the order of the
    alphabet, and `OTHER` for the rest: in CCGbank's sections 02-21, 10 times leave 425 of about 1,300
    supertags (Clark and Curran 2007). Reading more rows with the returned task spells them so too.
    A task whose labels are known is returned as it is, with its rows.

    Raises:
        DataError: No label occurs so often.
    """
    if not task.open_labels or task.labels:
        return task, tuple(rows)
    tagged = [row for row in rows if isinstance(row, TaggedRow)]
    counts = Counter(tag for row in tagged for tag in row.tags or ())
    labels = sorted(tag for tag, count in counts.items() if count >= task.open_labels and tag != OTHER)
    if not labels:
        raise DataError(
            f"no tag occurs {task.open_labels} times in the {len(tagged)} training sentences, so {task.name} "
            "has no label to learn: use more training data"
        )
    labelled = _labelled_task(task, (OTHER, *labels))
    return labelled, tuple(_spelled(row, frozenset(labels)) for row in tagged)


def _labelled_task(task: Task, labels: Sequence[str]) -> Task:
    """Returns the task with the labels of a trained head, if its label set is open."""
    return task.model_copy(update={"labels": tuple(labels)}) if task.open_labels else task


def _spelled(row: TaggedRow, labels: frozenset[str]) -> TaggedRow:
    return replace(row, tags=tuple(tag if tag in labels else OTHER for tag in row.tags or ()))
