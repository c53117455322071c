"""Loads what a training reads: for each task its English rows, translated rows, or plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapterstilts.data.fingerprint import fingerprint
from adapterstilts.data.holdout import hold_out
from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.label_set import with_labels
from adapterstilts.data.load import DataLocation, Loaded, find_data, load
from adapterstilts.data.rows import Row
from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.kinds.base import Augmentation, Encoding, Feature, Kind
from adapterstilts.kinds.registry import check_encoding, encoding_for, kind_of
from adapterstilts.run.options import TrainingOptions
from adapterstilts.run.progress import say
from adapterstilts.tasks.plain_text import MLM
from adapterstilts.tasks.spec import Task

HUB_DATASET = re.compile(r"[\w-][\w.-]*/[\w.-]+(:.+)?")
UNNAMED = "translated"  # in row ids, for a file whose language was not passed


@dataclass(frozen=True)
class TaskData:
    """The data of one task in a training.

    Attributes:
        task: The task, with its label set if that is read from the training rows.
        encoding: Settings of the conversion to subwords.
        train: Training rows.
        dev: English development rows (for plain text: in its languages). Without them the last step is kept.
        fingerprints: Digests of the rows: "train", "dev", and "translated" if there is such data.
        origin: Record of the rows' sources, by split.
        features: Training examples; empty until `encode`.
        augment: Changes a batch at each step (masking); None if batches stay as encoded.
    """

    task: Task
    encoding: Encoding
    train: tuple[Row, ...]
    dev: tuple[Row, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    features: Sequence[Feature] = ()
    augment: Augmentation | None = None

    @property
    def kind(self) -> Kind[Any]:
        """The kind of the task."""
        return kind_of(self.task)

    def encode(self, tokenizer: Any) -> TaskData:
        """Returns the data with its training rows encoded as features."""
        features = self.kind.encode(self.train, self.task, tokenizer, self.encoding)
        return replace(self, features=features, augment=self.kind.dynamic_masking(tokenizer))

    def batch(self, indices: Sequence[int], seed: Sequence[int]) -> Sequence[Feature]:
        """Returns the features of a batch in the form that they have at one step.

        Args:
            indices: Positions of the features.
            seed: Seed and number of the step.
        """
        features = [self.features[n] for n in indices]
        return self.augment(features, seed) if self.augment else features


def load_training_data(
    tasks: Sequence[Task], options: TrainingOptions, hyperparameters: Hyperparameters
) -> tuple[TaskData, ...]:
    """Loads the rows of all tasks.

    Args:
        tasks: The tasks; plain text, if any, is the last one. Beside other tasks it has no development rows.
        options: Files, folders and limits.
        hyperparameters: Share and number of development rows.

    Raises:
        ConfigError: One file for several tasks, text without its languages, or a setting without effect.
        MissingDataError: Data is missing; all tasks without data are named.
        DataError: Data is malformed.
    """
    _check_files(tasks, options)
    check_encoding([task.kind for task in tasks], options.encoding)
    loaded: list[TaskData] = []
    missing: dict[str, MissingDataError] = {}
    for task in tasks:
        try:
            if task.kind_spec.plain_text:
                loaded.append(_load_text(task, options, hyperparameters, mixed=len(tasks) > 1))
            else:
                loaded.append(_load_task(task, options, hyperparameters))
        except MissingDataError as error:
            missing[task.name] = error
    if missing:
        raise _missing(tasks, missing)
    return tuple(loaded)


def _check_files(tasks: Sequence[Task], options: TrainingOptions) -> None:
    labelled = [task.name for task in tasks if not task.kind_spec.plain_text]
    file = options.train_file or options.dev_file or options.translated
    if len(labelled) > 1 and file:
        raise ConfigError(
            f"{file} is one task's file, but {len(labelled)} tasks are trained: "
            "put the files where each release has them, in one folder, and pass it with --data-dir"
        )


def _missing(tasks: Sequence[Task], missing: Mapping[str, MissingDataError]) -> MissingDataError:
    """Returns one error for all tasks without data."""
    error = next(iter(missing.values()))
    if len(tasks) == 1:
        return error
    names = "+".join(task.name for task in tasks if task.name not in missing)
    advice = f" To train without them: train-adapter {names}." if names else ""
    return MissingDataError(
        f"no training data found for {', '.join(missing)}.{advice} The first error: {error}"
    )


def _load_task(task: Task, options: TrainingOptions, hyperparameters: Hyperparameters) -> TaskData:
    """Loads a labelled task; without development data, some training rows are held out.

    Raises:
        ConfigError: Options about translated data that do not fit together.
        MissingDataError, DataError: The data was not found or is malformed.
    """
    parts = _training_parts(task, options)
    task, train = with_labels(task, [row for part in parts.values() for row in part.rows])
    dev = _load_dev(task, options, hyperparameters)
    for note in (note for part in (*parts.values(), *([dev] if dev else ())) for note in part.notes):
        say(f"{task.name}: {note}")
    data = TaskData(
        task,
        encoding_for(task, "en", options.encoding),
        train,
        dev.rows if dev else (),
        {
            "train": "",
            **{name: part.fingerprint for name, part in parts.items()},
            "dev": dev.fingerprint if dev else "",
        },
        {
            **{name: dict(part.origin) for name, part in parts.items()},
            **({"dev": dict(dev.origin)} if dev else {}),
        },
    )
    if dev:
        return data
    if options.translated and hyperparameters.holdout:
        # Their translations would still be trained on.
        raise ConfigError(
            f"no English development data of {task.name} was passed, and rows held out of the training data "
            "would be trained on in translation: pass --dev-file, or train without with --holdout 0"
        )
    data = _hold_out(data, options, hyperparameters)
    if data.dev:
        say(f"{task.name}: no English development data: {len(data.dev)} training rows are held out for it")
    else:
        say(f"{task.name}: no English development data: the last step is kept")
    return data


def _hold_out(data: TaskData, options: TrainingOptions, hyperparameters: Hyperparameters) -> TaskData:
    """Moves some training rows to the development rows; the fingerprints stay: the rows are the same."""
    train, dev = hold_out(data.train, hyperparameters.holdout, hyperparameters.dev_rows, options.seed)
    return replace(data, train=train, dev=dev, origin={**data.origin, "dev": {"held_out": len(dev)}})


def _training_parts(task: Task, options: TrainingOptions) -> dict[str, Loaded]:
    """Loads the English data ("train") and the translated data ("translated"), as requested."""
    if not options.translated and (options.translated_only or options.translated_languages):
        raise ConfigError("no translated data was passed: pass it with --translated FILE")
    parts = {}
    if not options.translated_only:
        file = options.train_files.get(task.name, options.train_file)
        parts["train"] = load(task, "train", "en", options.location(file), options.limit, options.seed)
    if options.translated:
        location = options.location(options.translated)
        parts["translated"] = _load_translated(
            task, options.translated_languages, location, options.limit, options.seed
        )
    return parts


def _load_translated(
    task: Task, languages: Sequence[str], location: DataLocation, limit: int | None = None, seed: int = 1
) -> Loaded:
    """Loads training data that was translated from English; ids begin with the language.

    The origin records whether all rows have their originals.

    Args:
        task: The task of the data.
        languages: Replacements of `{lang}` in `location.file`; for a single file, its language or nothing.
        location: Location with an explicit file.
        limit: Maximum number of rows of each language.
        seed: Seed of the subsample.

    Raises:
        ConfigError: Languages are missing, or passed without `{lang}` in the file.
        DataError, MissingDataError: See `load`.
    """
    template = str(location.file)
    if "{lang}" in template and not languages:
        raise ConfigError(f"{template}: pass the languages to read with --translated-languages (de,fr)")
    if "{lang}" not in template and len(languages) > 1:
        raise ConfigError(
            f"{template} is one file, but {len(languages)} languages were passed: put {{lang}} into it"
        )
    # The data is English; in every other language it is a translation.
    index = find_data(task.model_copy(update={"languages": ("en",)}), location)
    rows: list[Row] = []
    origins = []
    for language in languages or (UNNAMED,):
        part = index.load_any_language("train", language, limit, seed)
        rows += [replace(row, id=f"{language}/{row.id}") for row in part.rows]
        origins.append({"language": language, **part.origin})
    have_originals = all(getattr(row, "original", None) for row in rows)
    origin = {"kind": "translated", "originals": have_originals, "parts": origins}
    return Loaded(tuple(rows), origin, fingerprint(rows))


def _load_dev(task: Task, options: TrainingOptions, hyperparameters: Hyperparameters) -> Loaded | None:
    """Loads the task's English development data; None if it was not found with labels."""
    if options.dev_file is None and options.train_files.get(task.name, options.train_file) is not None:
        return None  # explicit training data: the release's development data would not belong to it
    try:
        location = options.location(options.dev_file)
        return load(task, "dev", "en", location, hyperparameters.dev_rows, options.seed)
    except (MissingDataError, HiddenLabelsError):  # XTREME distributes TyDiQA's without answers
        if options.dev_file:
            raise
        return None


def _load_text(
    task: Task, options: TrainingOptions, hyperparameters: Hyperparameters, mixed: bool
) -> TaskData:
    """Loads plain text in all its languages together.

    Args:
        mixed: Whether it is mixed into other tasks; then it has no development rows.
    """
    languages = sorted(set(options.mlm_languages))
    if not languages:
        raise ConfigError("pass the text's languages: --language CODE, or --mlm-languages sw,de,ar")
    reference = options.mlm
    if reference and HUB_DATASET.fullmatch(reference) and not _is_file(reference):
        task, options = _hub_text(reference), options.model_copy(update={"source": "hub"})
        file = None
    else:
        file = reference or (None if mixed else options.train_file)
        if file and "{lang}" not in file and len(languages) > 1:
            raise ConfigError(
                f"{file} is one file, but {len(languages)} languages were passed: put {{lang}} into its path"
            )
    train = _load_languages(task, languages, file, options, options.limit)
    data = TaskData(
        task,
        encoding_for(task, "en", options.encoding),
        train.rows,
        (),
        {"train": train.fingerprint},
        {"train": dict(train.origin)},
    )
    if mixed:
        return data
    if options.dev_file:
        dev = _load_languages(task, languages, options.dev_file, options, hyperparameters.dev_rows)
        fingerprints = {"train": train.fingerprint, "dev": dev.fingerprint}
        origin = {"train": dict(train.origin), "dev": dict(dev.origin)}
        return replace(data, dev=dev.rows, fingerprints=fingerprints, origin=origin)
    data = replace(data, fingerprints={"train": train.fingerprint, "dev": ""})
    return _hold_out(data, options, hyperparameters)


def _is_file(reference: str) -> bool:
    return reference.endswith(".txt") or Path(reference).is_file()


def _load_languages(
    task: Task, languages: Sequence[str], file: str | None, options: TrainingOptions, limit: int | None
) -> Loaded:
    """Loads the text of all languages; row ids begin with the language."""
    index = find_data(task, options.location(file))
    parts = {language: index.load("train", language, limit, options.seed) for language in languages}
    for note in (note for part in parts.values() for note in part.notes):
        say(f"{task.name}: {note}")
    rows = tuple(
        replace(row, id=f"{language}-{row.id}") for language, part in parts.items() for row in part.rows
    )
    return Loaded(rows, {language: dict(part.origin) for language, part in parts.items()}, fingerprint(rows))


def _hub_text(reference: str) -> Task:
    """Returns the task with another Hub dataset for its source.

    Args:
        reference: `owner/name`, or `owner/name:config`; the configuration may hold `{lang}`.
    """
    assert MLM.hub is not None
    repo, _, config = reference.partition(":")
    source = MLM.hub.model_copy(update={"repo": repo, "config": config or None})
    return MLM.model_copy(update={"hub": source})
