"""What one training learns from: a lesson for each task in English, and for text in its languages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapterstilts.data.fingerprint import fingerprint
from adapterstilts.data.holdout import hold_out
from adapterstilts.data.load import Loaded, load
from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.kinds.registry import check_encoding, encoding_for
from adapterstilts.run.fit import Lesson
from adapterstilts.run.options import Options
from adapterstilts.run.progress import say
from adapterstilts.run.training_data import TrainingRows, training_rows
from adapterstilts.tasks.plain_text import hub_text
from adapterstilts.tasks.spec import Task

HUB_DATASET = re.compile(r"[\w-][\w.-]*/[\w.-]+(:.+)?")


@dataclass(frozen=True)
class Taught:
    """The lessons of a training, and what the job and the record say of them.

    Attributes:
        prints: "train" and "dev" of one task; of several "TASK/train" and so on.
        origin: Records of the rows, by task and split, as in `TrainOrigin.data`.
        encoding: how text becomes subwords; of several tasks, each one's under its name.
    """

    lessons: tuple[Lesson, ...] = ()
    prints: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)


def lessons(tasks: Sequence[Task], options: Options, hyperparameters: Hyperparameters) -> Taught:
    """Loads what the tasks learn from.

    Args:
        tasks: plain text, where there is any, last; beside other tasks it has no development rows.

    Raises:
        ConfigError: one file for several tasks, text without its languages, or a setting without effect.
        MissingDataError: all tasks are named whose data is not at hand.
    """
    _check_files(tasks, options)
    check_encoding([task.kind for task in tasks], options.encoding)
    found, missing = [], {}
    for task in tasks:
        try:
            found.append(_rows(task, options, hyperparameters, mixed=len(tasks) > 1))
        except MissingDataError as error:
            missing[task.name] = error
    if missing:
        raise _missing(tasks, missing)
    taught = [
        Lesson(data.task, encoding_for(data.task, "en", options.encoding), data.train, data.dev)
        for data in found
    ]
    origin = {data.task.name: data.origin for data in found}
    if len(found) == 1:
        encoding = taught[0].encoding.model_dump(mode="json")
        return Taught(tuple(taught), found[0].fingerprints, origin, encoding)
    return Taught(
        tuple(taught),
        {f"{data.task.name}/{split}": value for data in found for split, value in data.fingerprints.items()},
        origin,
        {lesson.task.name: lesson.encoding.model_dump(mode="json") for lesson in taught},
    )


def _check_files(tasks: Sequence[Task], options: Options) -> None:
    labelled = [task.name for task in tasks if not task.kind_spec.plain_text]
    file = options.train_file or options.eval_file or options.translated
    if len(labelled) > 1 and file:
        raise ConfigError(
            f"{file} is one task's file, but {len(labelled)} tasks are "
            "trained: put the files where each release has them, in one folder, and name it with --data-dir"
        )


def _missing(tasks: Sequence[Task], missing: Mapping[str, MissingDataError]) -> MissingDataError:
    """One error for all tasks without data."""
    first = next(iter(missing.values()))
    if len(tasks) == 1:
        return first
    others = "+".join(task.name for task in tasks if task.name not in missing)
    leave = f" To leave them out: train-adapter {others}." if others else ""
    return MissingDataError(f"training data is missing of {', '.join(missing)}.{leave} The first: {first}")


def _rows(task: Task, options: Options, hyperparameters: Hyperparameters, mixed: bool) -> TrainingRows:
    if not task.kind_spec.plain_text:
        own = {"train_file": options.train_files.get(task.name, options.train_file)}
        return training_rows(task, options.model_copy(update=own), hyperparameters)
    if not options.mlm_languages:
        raise ConfigError("of which languages is the text? Say --language CODE, or --mlm-languages sw,de,ar")
    task, options = _place(task, options, mixed)
    train = _pool(task, options.mlm, options, options.limit)
    origin: dict[str, Any] = {"train": dict(train.origin)}
    if mixed:
        return TrainingRows(task, train.rows, (), {"train": train.fingerprint}, origin)
    if options.eval_file:
        dev = _pool(task, options.eval_file, options, hyperparameters.dev_rows)
        prints = {"train": train.fingerprint, "dev": dev.fingerprint}
        return TrainingRows(task, train.rows, dev.rows, prints, {**origin, "dev": dict(dev.origin)})
    kept, held = hold_out(train.rows, hyperparameters.holdout, hyperparameters.dev_rows, options.seed)
    prints = {"train": train.fingerprint, "dev": ""}
    return TrainingRows(task, kept, held, prints, {**origin, "dev": {"held_out": len(held)}})


def _place(task: Task, options: Options, mixed: bool) -> tuple[Task, Options]:
    """Where the text is: a Hub dataset, a file (then it is `options.mlm`), or where the task's entry says."""
    reference = options.mlm
    if reference and HUB_DATASET.fullmatch(reference) and not _is_file(reference):
        return hub_text(reference), options.model_copy(update={"source": "hub", "mlm": None})
    file = reference or (None if mixed else options.train_file)
    if file and "{lang}" not in file and len(set(options.mlm_languages)) > 1:
        raise ConfigError(f"{file} is one file, but several languages are named: put {{lang}} into its path")
    return task, options.model_copy(update={"mlm": file})


def _is_file(reference: str) -> bool:
    return reference.endswith(".txt") or Path(reference).is_file()


def _pool(task: Task, file: str | None, options: Options, limit: int | None) -> Loaded:
    """The text of all languages together; the language stands before each row's id."""
    found = {
        language: load(task, "train", language, options.location(file), limit, options.seed)
        for language in sorted(set(options.mlm_languages))
    }
    for known in (known for loaded in found.values() for known in loaded.notes):
        say(f"{task.name}: {known}")
    rows = tuple(
        replace(row, id=f"{language}-{row.id}") for language, loaded in found.items() for row in loaded.rows
    )
    return Loaded(rows, {code: dict(loaded.origin) for code, loaded in found.items()}, fingerprint(rows))
