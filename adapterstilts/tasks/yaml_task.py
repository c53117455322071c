"""Tasks of one's own: a YAML file that says what an entry of this package says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, field_validator

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.kinds.spec import SPECS, KindSpec, RowForm
from adapterstilts.tasks.plain_text import codes_in_name
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import GOLD, FolderSource, HubSource, KindName, Metric, Split, Table, Task
from adapterstilts.values import Value, digest, problem_text
from adapterstilts.yaml_lines import read_document

# Fields of a table, required and optional, by the form of the kind's rows
FIELDS: Mapping[RowForm, tuple[str, ...]] = {
    "pair": ("first", "label"),
    "tagged": ("tokens", "tags"),
    "question": ("question", "context"),
    "choice": ("prompt", "choices", "label"),
}
MORE_FIELDS: Mapping[RowForm, tuple[str, ...]] = {
    "pair": ("second",),
    "question": ("answers", "answer", "start"),
}
SUFFIXED = re.compile(r"(?![BI]-).+-[BI]")
TELLING = ("pair", "qqp", "mewslix")  # forms whose rows may name their language
FORMATS = ("tsv", "csv", "jsonl", "parquet")
Problems = Iterator[tuple[str, str]]  # the key that is wrong, and what is wrong with it


class Definition(Value):
    """What the YAML file may say; see `tasks.spec.Task` for what is not told here.

    Attributes:
        format: of the files: "tsv", "csv", "jsonl" or "parquet" with `columns`, or a release's form ("pair",
            "squad").
        files: for each split a path, or several of which the first that is there is read; relative to the
            YAML file's folder, then to the data folder; may hold `{lang}` and end in `#first-last`.
        codes: our language code -> the one in file names, or in the language column.
        hub: a Hub dataset: what `HubSource` has but its reader and columns.
        trained_on: the task whose English data trains this one; itself by default, if it has such data.
    """

    name: str
    kind: KindName
    format: str | None = None
    files: Mapping[Split, str | tuple[str, ...]] = {}
    columns: Mapping[str, str | tuple[str, ...]] = {}
    where: Mapping[Split, Mapping[str, str]] = {}
    hub: Mapping[str, Any] = {}
    languages: tuple[str, ...] = ("en",)
    codes: Mapping[str, str] = {}
    labels: tuple[str, ...] = ()
    label_names: Mapping[str, str] = {}
    metric: Metric | None = None
    trained_on: str | None = None
    title: str | None = None
    licence: str = "not stated"
    citation: str = "not stated"
    unanswerable: bool = False
    normalisation: Literal["squad", "mlqa"] = "squad"
    parallel: Literal["order", "id"] | None = None
    symmetric: bool = False

    @field_validator("kind")
    @classmethod
    def _kind_takes_custom_tasks(cls, kind: KindName) -> KindName:
        fitting = [repr(name) for name, spec in SPECS.items() if spec.metrics]
        if repr(kind) not in fitting:
            raise ValueError(f"should be {', '.join(fitting[:-1])} or {fitting[-1]}, not {kind!r}")
        return kind

    @property
    def kind_spec(self) -> KindSpec:
        """Properties of the task's kind."""
        return SPECS[self.kind]

    @property
    def trains(self) -> bool:
        """Whether it has training data of its own."""
        return "train" in self.files or "train" in self.hub.get("splits", {})


def load(path: Path) -> Task:
    """The task that a YAML file defines.

    Raises:
        ConfigError: what is wrong, with file and line.
    """
    document = read_document(path, example="name: my_task")
    given, lines = document.texts(), document.lines()
    for key in given:
        if key not in Definition.model_fields:
            raise _error(path, lines[key], str(unknown("task key", key, Definition.model_fields)))
    try:
        definition = Definition.model_validate(given)
        _check_hub(definition, path, lines)
        for key, problem in (*_about_itself(definition), *_about_data(definition)):
            raise _error(path, lines.get(key), f"{key}: {problem}")
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if "[" not in str(part)) or "value"
        raise _error(path, lines.get(key.partition(".")[0]), f"{key}: {problem_text(dict(first))}") from None
    return _task(definition, path)


def _check_hub(given: Definition, path: Path, lines: Mapping[str, int]) -> None:
    """Refuses what `hub` may not hold, before anything else asks for its splits."""
    try:
        if given.hub:
            HubSource.parse({**given.hub, "reader": "table", "columns": ()}, "hub")
    except ConfigError as error:
        raise _error(path, lines.get("hub"), str(error)) from None


def _error(path: Path, line: int | None, message: str) -> ConfigError:
    return ConfigError(f"{path}: {message}" if line is None else f"{path}, line {line}: {message}")


def _about_itself(given: Definition) -> Problems:
    """What is wrong with the name, the metric, the labels, the languages and the trainer."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", given.name):
        yield "name", f"'{given.name}' should be of small letters, digits and _, and begin with a letter"
    taken = [name for task in all_tasks().values() for name in (task.name, *task.aliases)]
    if given.name in taken:
        yield "name", f"'{given.name}' is a task of the package: choose another"
    if given.metric is not None and given.metric not in given.kind_spec.metrics:
        yield "metric", f"a {given.kind} task is scored by {' or '.join(given.kind_spec.metrics)}"
    yield from _about_labels(given)
    yield from _about_languages(given)
    yield from _about_trainer(given)


def _about_labels(given: Definition) -> Problems:
    labelled = given.kind_spec.labelled
    if labelled != bool(given.labels):
        yield "labels", f"a {given.kind} task {'wants its labels, in order' if labelled else 'has none'}"
    repeated = [label for label in given.labels if given.labels.count(label) > 1]
    if repeated:
        yield "labels", f"'{repeated[0]}' occurs twice"
    if "" in map(str.strip, given.labels):
        yield "labels", "a label is empty, which in data means that there is none: choose a name for it"
    if labelled and 0 < len(given.labels) < given.kind_spec.min_labels:
        yield "labels", f"a {given.kind} task needs at least {given.kind_spec.min_labels} labels"
    if given.kind_spec.bio_labels and (suffixed := [tag for tag in given.labels if SUFFIXED.fullmatch(tag)]):
        yield (
            "labels",
            f"'{suffixed[0]}' has its B or I at the end: use B-X and I-X, and map the files' in label_names",
        )
    for spelling, label in given.label_names.items():
        if labelled and label not in given.labels:
            yield "label_names", str(unknown("label", label, given.labels))
        if spelling in given.labels and spelling != label:
            yield (
                "label_names",
                f"'{spelling}' is a label itself, and cannot be the spelling of '{label}' too",
            )


def _about_languages(given: Definition) -> Problems:
    for code in given.languages:
        if not re.fullmatch(r"[a-z]{2,3}", code):
            yield "languages", f"'{code}' is not an ISO 639 code such as en"
    for code in given.codes:
        if code not in given.languages:
            yield "codes", str(unknown("language", code, given.languages))
    spelled = [given.codes.get(code, code) for code in given.languages]
    for code in dict.fromkeys(code for code in spelled if spelled.count(code) > 1):
        sharing = [language for language in given.languages if given.codes.get(language, language) == code]
        yield (
            "codes" if len(set(sharing)) > 1 else "languages",
            f"the code '{code}' stands for {' and '.join(sharing)}: each language needs one of its own",
        )
    if given.trains and "en" not in given.languages:
        yield "languages", "training data is English: en should be among them"


def _about_trainer(given: Definition) -> Problems:
    if given.trained_on in (None, given.name):
        if not given.trains and given.kind_spec.needs_head:
            yield "trained_on", "it has no train split, so the task whose English data trains it is wanted"
        return
    if given.trained_on not in all_tasks():
        yield "trained_on", str(unknown("task", str(given.trained_on), all_tasks()))
        return
    trainer = all_tasks()[str(given.trained_on)]
    if (trainer.kind, trainer.labels) != (given.kind, given.labels):
        labels = f", labels {', '.join(trainer.labels)}" if trainer.labels else ""
        yield "trained_on", f"{trainer.name} is of another form ({trainer.kind}{labels})"


def _about_data(given: Definition) -> Problems:
    """What is wrong with files, format and columns."""
    if not given.files and not given.hub:
        yield "files", "neither files nor a Hub dataset (hub) is named"
    if given.hub and not given.columns:
        yield "columns", f"a Hub dataset wants its columns: {', '.join(FIELDS.get(given.kind_spec.rows, ()))}"
    for split in given.where:
        if not given.columns or split not in {**given.files, **given.hub.get("splits", {})}:
            yield "where", f"it picks rows of a table's split, but there is no {split} split with columns"
    if len(given.languages) > 1:
        yield from _about_paths(given)
    if given.columns:
        yield from _about_columns(given)
        return
    forms = sorted({task.form for task in all_tasks().values() if task.kind == given.kind})
    if given.files and given.format in FORMATS:
        yield "columns", f"{given.format} wants them: {', '.join(FIELDS.get(given.kind_spec.rows, ()))}"
    elif given.files and given.format not in forms:
        yield (
            "format",
            f"a {given.kind} task is read from {', '.join((*FORMATS, *forms))}, not {given.format}",
        )


def _about_columns(given: Definition) -> Problems:
    wanted = FIELDS.get(given.kind_spec.rows)
    if wanted is None:
        yield "columns", f"a {given.kind} task is not read from a table"
        return
    known = (*wanted, *MORE_FIELDS.get(given.kind_spec.rows, ()), "id", "language")
    for field in given.columns:
        if field not in known:
            yield "columns", str(unknown(f"field of a {given.kind} task", field, known))
    for field in wanted:
        if field not in given.columns:
            yield "columns", f"no column is named for '{field}'"
    yield from _about_gold(given.columns)
    if given.kind_spec.rows == "question" and not (
        "answers" in given.columns or {"answer", "start"} <= given.columns.keys()
    ):
        yield "columns", "no column is named for 'answers' (or for 'answer' and 'start')"
    if given.files and given.format not in FORMATS:
        yield "format", f"columns are of a table: {', '.join(FORMATS)}, not {given.format}"


def _about_gold(columns: Mapping[str, str | tuple[str, ...]]) -> Problems:
    """Columns that hold the label or the answer and are read as text too: a model would see the answer."""
    names = {field: (column,) if isinstance(column, str) else column for field, column in columns.items()}
    for field in (field for field in GOLD if field in names):
        for other in (other for other in names if other not in GOLD):
            for column in set(names[field]).intersection(names[other]):
                yield "columns", f"the column '{column}' is named for '{field}' and for '{other}'"


def _about_paths(given: Definition) -> Problems:
    """Files of a task of several languages whose names do not tell theirs, and must.

    Training and development data is English by definition. A file of test data needs a code in its name,
    unless its rows name their language.
    """
    by_row = "language" in given.columns or (not given.columns and given.format in TELLING)
    for split, paths in given.files.items():
        for path in (paths,) if isinstance(paths, str) else paths:
            if "{lang}" in path:
                continue
            codes = codes_in_name(path, given.languages)
            if split == "train" and codes and "en" not in codes:
                yield (
                    "files",
                    f"{path} is in '{codes[0]}' by its name, but training data is English: rename it",
                )
            elif split != "train" and len(codes) > 1:
                named = ", ".join(codes)
                yield (
                    "files",
                    f"{path} names several languages ({named}): write {{lang}} in place of the language code",
                )
            elif split == "test" and not codes and not by_row:
                yield (
                    "files",
                    f"{path} does not name its language: write {{lang}} in place of the language code",
                )


def _task(given: Definition, path: Path) -> Task:
    metric = given.metric or given.kind_spec.metrics[0]
    trained_on = given.trained_on or (given.name if given.trains else None)
    table = None
    if given.columns:
        shape = {"format": given.format or "jsonl", "columns": given.columns, "where": given.where}
        table = Table.model_validate(shape)
    files = {split: (each,) if isinstance(each, str) else each for split, each in given.files.items()}
    # What determines results beside the rows, whose fingerprint stands in every key.
    decisive = given.model_dump(mode="json", include={"kind", "labels", "unanswerable", "normalisation"})
    named = [each for paths in files.values() for each in paths] or [str(given.hub.get("repo"))]
    return Task(
        name=given.name,
        role="target",
        kind=given.kind,
        title=given.title or given.name,
        form="table" if table else str(given.format),
        languages=given.languages,
        trained_on=trained_on,
        metric=metric,
        licence=given.licence,
        citation=given.citation,
        obtain=f"what {path.name} names: {', '.join(dict.fromkeys(named))}.",
        labels=given.labels,
        label_names=given.label_names,
        folder=FolderSource(files=files, codes=given.codes) if files else None,
        hub=_hub(given, table),
        unanswerable=given.unanswerable,
        parallel=given.parallel,
        symmetric=given.symmetric,
        normalisation=given.normalisation,
        table=table,
        base=str(path.resolve().parent),
        version=digest({"metric": metric, **decisive})[:16],
    )


def _hub(given: Definition, table: Table | None) -> HubSource | None:
    if not given.hub or table is None:
        return None
    named = ((each,) if isinstance(each, str) else each for each in table.columns.values())
    columns = tuple(dict.fromkeys(column for group in named for column in group))
    return HubSource.parse({**given.hub, "reader": "table", "columns": columns}, "hub")
