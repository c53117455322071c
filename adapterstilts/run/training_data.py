"""The rows of one task's training: English ones, translated ones, and English development rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapterstilts.data.holdout import hold_out
from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.label_set import with_labels
from adapterstilts.data.load import Loaded, load
from adapterstilts.data.rows import Row
from adapterstilts.data.translated import load_translated
from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.run.options import Options
from adapterstilts.run.progress import say
from adapterstilts.tasks.spec import Task


@dataclass(frozen=True)
class TrainingRows:
    """What one task is trained on.

    Attributes:
        task: with its label set, where that is read off the training rows.
        dev: English; empty where there are none.
        fingerprints: of the English rows ("train"), the development rows, and the translated ones.
        origin: where the rows came from, for the record.
    """

    task: Task
    train: tuple[Row, ...]
    dev: tuple[Row, ...]
    fingerprints: dict[str, str]
    origin: dict[str, Any]


def training_rows(task: Task, options: Options, hyperparameters: Hyperparameters) -> TrainingRows:
    """Loads what the options name; without development data, some training rows are held out for it.

    Raises:
        ConfigError: options about translated data that do not fit together.
        MissingDataError, DataError: the data is not at hand or not as it should be.
    """
    parts = _training_parts(task, options)
    task, train = with_labels(task, [row for loaded in parts.values() for row in loaded.rows])
    dev = _dev_rows(task, options, hyperparameters)
    for loaded in (*parts.values(), *([dev] if dev else ())):
        for known in loaded.notes:
            say(f"{task.name}: {known}")
    prints = {name: loaded.fingerprint for name, loaded in parts.items()}
    prints = {"train": "", **prints, "dev": dev.fingerprint if dev else ""}
    origin: dict[str, Any] = {name: dict(loaded.origin) for name, loaded in parts.items()}
    if dev:
        return TrainingRows(task, train, dev.rows, prints, {**origin, "dev": dict(dev.origin)})
    if options.translated and hyperparameters.holdout:
        raise ConfigError(
            f"no English development data of {task.name} is given, and rows held out of the training data "
            "would be trained on in translation: give some with --eval-file, or none with --holdout 0"
        )
    kept, held = hold_out(train, hyperparameters.holdout, hyperparameters.dev_rows, options.seed)
    if held:
        say(f"{task.name}: no English development data given: {len(held)} training rows are held out for it")
    else:
        say(f"{task.name}: no English development data: the last step is kept")
    return TrainingRows(task, kept, held, prints, {**origin, "dev": {"held_out": len(held)}})


def _training_parts(task: Task, options: Options) -> dict[str, Loaded]:
    """The English data ("train") and the translated data, as far as they are wanted."""
    if not options.translated and (options.translated_only or options.translated_languages):
        raise ConfigError("which translated data is meant? Name it with --translated FILE")
    parts = {}
    if not options.translated_only:
        location = options.location(options.train_file)
        parts["train"] = load(task, "train", "en", location, options.limit, options.seed)
    if options.translated:
        location = options.location(options.translated)
        languages = options.translated_languages
        parts["translated"] = load_translated(task, languages, location, options.limit, options.seed)
    return parts


def _dev_rows(task: Task, options: Options, hyperparameters: Hyperparameters) -> Loaded | None:
    """The task's own English development data; None where it is not at hand with labels."""
    location = options.location(options.eval_file)
    if options.eval_file is None and options.train_file is not None:
        return None  # data of the user's own: other development data would not belong to it
    try:
        return load(task, "dev", "en", location, hyperparameters.dev_rows, options.seed)
    except (MissingDataError, HiddenLabelsError):  # XTREME hands TyDiQA's out without answers
        if options.eval_file:
            raise
        return None
