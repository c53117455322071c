"""Custom tasks: a YAML file with the fields of a task entry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.kinds.spec import SPECS, KindSpec, RowForm
from adapterstilts.tasks.plain_text import codes_in_name
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import GOLD, FolderSource, HubSource, KindName, Metric, Split, Table, Task
from adapterstilts.values import Value, digest, problem_text
from adapterstilts.yaml_lines import Document

# Fields of a table, required and optional, by the form of the kind's rows
FIELDS: Mapping[RowForm, tuple[str, ...]] = {
    "pair": ("first", "label"),
    "tagged": ("tokens", "tags"),
    "question": ("question", "context"),
    "choice": ("prompt", "choices", "label"),
}
OPTIONAL_FIELDS: Mapping[RowForm, tuple[str, ...]] = {
    "pair": ("second",),
    "question": ("answers", "answer", "start"),
}
SUFFIXED = re.compile(r"(?![BI]-).+-[BI]")
MULTILINGUAL_FORMS = ("pair", "qqp", "mewslix")  # formats whose rows may name their language
FORMATS = ("tsv", "csv", "jsonl", "parquet")
Problems = Iterator[tuple[str, str]]  # key and message


class Definition(Value):
    """The keys of a task's YAML file. `tasks.spec.Task` has what follows from them."""

    name: str = Field(description="Name of the task: small letters, digits and _.")
    kind: KindName = Field(description="Kind of the task, such as sequence, tagging, span or choice.")
    format: str | None = Field(
        None,
        description="Format of the files: tsv, csv, jsonl or parquet with `columns`, or a release format "
        "of the kind (pair, squad, …). Defaults to jsonl if there are columns.",
    )
    files: Mapping[Split, str | tuple[str, ...]] = Field(
        {},
        description="Split (train, dev, test) -> path, or several paths, of which the first that exists is "
        "read. Relative to the YAML file's folder, then to the data folder. May contain {lang}, and may "
        "end in #first-last, a range of rows.",
    )
    columns: Mapping[str, str | tuple[str, ...]] = Field(
        {},
        description="Field of the kind's rows -> column of the table. Several columns form the list of "
        "choices, or one text with spaces between.",
    )
    filter: Mapping[Split, Mapping[str, str]] = Field(
        {},
        description="Split -> column -> value. Selects the rows of a split from a table with several splits.",
    )
    hub: Mapping[str, Any] = Field(
        {},
        description="Hub dataset: repo, splits, and optionally config, codes, commit, revision, languages.",
    )
    languages: tuple[str, ...] = Field(
        ("en",), description="ISO 639 codes of the languages with data. Training data is English (en)."
    )
    codes: Mapping[str, str] = Field(
        {}, description="Language -> its code in file names or in the language column, where it differs."
    )
    labels: tuple[str, ...] = Field((), description="Labels in the order of the head's outputs.")
    label_names: Mapping[str, str] = Field(
        {}, description="Spelling of a label in the files -> label, where it differs."
    )
    metric: Metric | None = Field(None, description="Headline metric. Defaults to the kind's first metric.")
    trained_on: str | None = Field(
        None,
        description="Task whose English data trains this one. Defaults to the task itself if it has a train "
        "split.",
    )
    title: str | None = Field(None, description="Title for reports. Defaults to the name.")
    licence: str = Field("not stated", description="Licence of the data.")
    citation: str = Field("not stated", description="Citation key of the data.")
    unanswerable: bool = Field(False, description="Span tasks: whether some questions have no answer.")
    normalisation: Literal["squad", "mlqa"] = Field(
        "squad", description="Span tasks: how answers are normalised before they are compared."
    )
    parallel: Literal["order", "id"] | None = Field(
        None,
        description="How items correspond across languages if the files are translations of each other: by "
        "position (order) or by id. The leak guard uses it.",
    )
    symmetric: bool = Field(
        False, description="Pairs: whether the order of the two texts has no meaning. The leak guard uses it."
    )

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
        """Whether the task has its own training data."""
        return "train" in self.files or "train" in self.hub.get("splits", {})


def load(path: Path) -> Task:
    """Returns the task that a YAML file defines.

    Raises:
        ConfigError: The definition is not valid; the message has file and line.
    """
    document = Document.read(path, example="name: my_task")
    values, lines = document.texts(), document.lines()
    for key in values:
        if key not in Definition.model_fields:
            raise _error(path, lines[key], str(unknown("task key", key, Definition.model_fields)))
    try:
        definition = Definition.model_validate(values)
        _check_hub(definition, path, lines)
        for key, problem in (*_about_itself(definition), *_about_data(definition)):
            raise _error(path, lines.get(key), f"{key}: {problem}")
    except ValidationError as error:
        details = error.errors()[0]
        key = ".".join(str(part) for part in details["loc"] if "[" not in str(part)) or "value"
        raise _error(
            path, lines.get(key.partition(".")[0]), f"{key}: {problem_text(dict(details))}"
        ) from None
    return _task(definition, path)


def _check_hub(definition: Definition, path: Path, lines: Mapping[str, int]) -> None:
    """Checks the `hub` mapping first, since the other checks read its splits."""
    try:
        if definition.hub:
            HubSource.parse({**definition.hub, "reader": "table", "columns": ()}, "hub")
    except ConfigError as error:
        raise _error(path, lines.get("hub"), str(error)) from None


def _error(path: Path, line: int | None, message: str) -> ConfigError:
    return ConfigError(f"{path}: {message}" if line is None else f"{path}, line {line}: {message}")


def _about_itself(definition: Definition) -> Problems:
    """Checks the name, metric, labels, languages and `trained_on`."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", definition.name):
        yield (
            "name",
            f"'{definition.name}' must consist of small letters, digits and _, and begin with a letter",
        )
    taken = [name for task in all_tasks().values() for name in (task.name, *task.aliases)]
    if definition.name in taken:
        yield "name", f"'{definition.name}' is a task of the package: choose another name"
    if definition.metric is not None and definition.metric not in definition.kind_spec.metrics:
        yield "metric", f"a {definition.kind} task is scored by {' or '.join(definition.kind_spec.metrics)}"
    yield from _about_labels(definition)
    yield from _about_languages(definition)
    yield from _about_trainer(definition)


def _about_labels(definition: Definition) -> Problems:
    labelled = definition.kind_spec.labelled
    if labelled != bool(definition.labels):
        yield (
            "labels",
            f"a {definition.kind} task {'requires labels, in order' if labelled else 'has no labels'}",
        )
    repeated = [label for label in definition.labels if definition.labels.count(label) > 1]
    if repeated:
        yield "labels", f"'{repeated[0]}' occurs twice"
    if "" in map(str.strip, definition.labels):
        yield "labels", "a label is empty, but an empty value in data means no label: choose a name for it"
    if labelled and 0 < len(definition.labels) < definition.kind_spec.min_labels:
        yield "labels", f"a {definition.kind} task needs at least {definition.kind_spec.min_labels} labels"
    if definition.kind_spec.bio_labels and (
        suffixed := [tag for tag in definition.labels if SUFFIXED.fullmatch(tag)]
    ):
        yield (
            "labels",
            f"'{suffixed[0]}' ends in B or I: use B-X and I-X, and map the spellings in label_names",
        )
    for spelling, label in definition.label_names.items():
        if labelled and label not in definition.labels:
            yield "label_names", str(unknown("label", label, definition.labels))
        if spelling in definition.labels and spelling != label:
            yield (
                "label_names",
                f"'{spelling}' is a label and cannot also be a spelling of '{label}'",
            )


def _about_languages(definition: Definition) -> Problems:
    for code in definition.languages:
        if not re.fullmatch(r"[a-z]{2,3}", code):
            yield "languages", f"'{code}' is not an ISO 639 code such as en"
    for code in definition.codes:
        if code not in definition.languages:
            yield "codes", str(unknown("language", code, definition.languages))
    spelled = [definition.codes.get(code, code) for code in definition.languages]
    for code in dict.fromkeys(code for code in spelled if spelled.count(code) > 1):
        sharing = [
            language for language in definition.languages if definition.codes.get(language, language) == code
        ]
        yield (
            "codes" if len(set(sharing)) > 1 else "languages",
            f"the code '{code}' is used for {' and '.join(sharing)}: each language requires a different code",
        )
    if definition.trains and "en" not in definition.languages:
        yield "languages", "training data is English, so the languages must include en"


def _about_trainer(definition: Definition) -> Problems:
    if definition.trained_on in (None, definition.name):
        if not definition.trains and definition.kind_spec.needs_head:
            yield "trained_on", "the task has no train split: specify the task whose English data trains it"
        return
    if definition.trained_on not in all_tasks():
        yield "trained_on", str(unknown("task", str(definition.trained_on), all_tasks()))
        return
    trainer = all_tasks()[str(definition.trained_on)]
    if (trainer.kind, trainer.labels) != (definition.kind, definition.labels):
        labels = f", labels {', '.join(trainer.labels)}" if trainer.labels else ""
        yield "trained_on", f"{trainer.name} has another kind or other labels ({trainer.kind}{labels})"


def _about_data(definition: Definition) -> Problems:
    """Checks files, format and columns."""
    if not definition.files and not definition.hub:
        yield "files", "no data is specified: add files or a Hub dataset (hub)"
    if definition.hub and not definition.columns:
        yield (
            "columns",
            f"a Hub dataset requires columns: {', '.join(FIELDS.get(definition.kind_spec.rows, ()))}",
        )
    for split in definition.filter:
        if not definition.columns or split not in {**definition.files, **definition.hub.get("splits", {})}:
            yield "filter", f"there is no {split} split with columns to select rows from"
    if len(definition.languages) > 1:
        yield from _about_paths(definition)
    if definition.columns:
        yield from _about_columns(definition)
        return
    forms = sorted({task.form for task in all_tasks().values() if task.kind == definition.kind})
    if definition.files and definition.format in FORMATS:
        yield (
            "columns",
            f"{definition.format} requires columns: {', '.join(FIELDS.get(definition.kind_spec.rows, ()))}",
        )
    elif definition.files and definition.format not in forms:
        yield (
            "format",
            f"a {definition.kind} task reads {', '.join((*FORMATS, *forms))}, not {definition.format}",
        )


def _about_columns(definition: Definition) -> Problems:
    required = FIELDS.get(definition.kind_spec.rows)
    if required is None:
        yield "columns", f"a {definition.kind} task cannot be read from a table"
        return
    fields = (*required, *OPTIONAL_FIELDS.get(definition.kind_spec.rows, ()), "id", "language")
    for field in definition.columns:
        if field not in fields:
            yield "columns", str(unknown(f"field of a {definition.kind} task", field, fields))
    for field in required:
        if field not in definition.columns:
            yield "columns", f"no column is specified for '{field}'"
    yield from _about_gold(definition.columns)
    if definition.kind_spec.rows == "question" and not (
        "answers" in definition.columns or {"answer", "start"} <= definition.columns.keys()
    ):
        yield "columns", "no column is specified for 'answers' (or for 'answer' and 'start')"
    if definition.files and definition.format not in FORMATS:
        yield "format", f"columns require a table ({', '.join(FORMATS)}), not {definition.format}"


def _about_gold(columns: Mapping[str, str | tuple[str, ...]]) -> Problems:
    """Checks that no column is both text and label or answer: a model would see the answer."""
    names = {field: (column,) if isinstance(column, str) else column for field, column in columns.items()}
    for field in (field for field in GOLD if field in names):
        for name in (name for name in names if name not in GOLD):
            for column in set(names[field]).intersection(names[name]):
                yield "columns", f"the column '{column}' is used for both '{field}' and '{name}'"


def _about_paths(definition: Definition) -> Problems:
    """Checks that file names of a task with several languages have a language code.

    Training and development data is English by definition. The name of a test file requires a code, unless
    its rows name their language.
    """
    by_row = "language" in definition.columns or (
        not definition.columns and definition.format in MULTILINGUAL_FORMS
    )
    for split, paths in definition.files.items():
        for path in (paths,) if isinstance(paths, str) else paths:
            if "{lang}" in path:
                continue
            codes = codes_in_name(path, definition.languages)
            if split == "train" and codes and "en" not in codes:
                yield (
                    "files",
                    f"{path} is named as '{codes[0]}', but training data is English: rename the file",
                )
            elif split != "train" and len(codes) > 1:
                listing = ", ".join(codes)
                yield (
                    "files",
                    f"{path} names several languages ({listing}): write {{lang}} in place of the code",
                )
            elif split == "test" and not codes and not by_row:
                yield (
                    "files",
                    f"{path} does not name its language: write {{lang}} in place of the language code",
                )


def _task(definition: Definition, path: Path) -> Task:
    metric = definition.metric or definition.kind_spec.metrics[0]
    trained_on = definition.trained_on or (definition.name if definition.trains else None)
    table = None
    if definition.columns:
        shape = {
            "format": definition.format or "jsonl",
            "columns": definition.columns,
            "filter": definition.filter,
        }
        table = Table.model_validate(shape)
    files = {
        split: (paths,) if isinstance(paths, str) else paths for split, paths in definition.files.items()
    }
    # What determines results besides the rows: their fingerprint is part of every key already
    decisive = definition.model_dump(mode="json", include={"kind", "labels", "unanswerable", "normalisation"})
    sources = [file for paths in files.values() for file in paths] or [str(definition.hub.get("repo"))]
    return Task(
        name=definition.name,
        role="target",
        kind=definition.kind,
        title=definition.title or definition.name,
        form="table" if table else str(definition.format),
        languages=definition.languages,
        trained_on=trained_on,
        metric=metric,
        licence=definition.licence,
        citation=definition.citation,
        obtain=f"the data of {path.name}: {', '.join(dict.fromkeys(sources))}.",
        labels=definition.labels,
        label_names=definition.label_names,
        folder=FolderSource(files=files, codes=definition.codes) if files else None,
        hub=_hub(definition, table),
        unanswerable=definition.unanswerable,
        parallel=definition.parallel,
        symmetric=definition.symmetric,
        normalisation=definition.normalisation,
        table=table,
        base=str(path.resolve().parent),
        version=digest({"metric": metric, **decisive})[:16],
    )


def _hub(definition: Definition, table: Table | None) -> HubSource | None:
    if not definition.hub or table is None:
        return None
    groups = ((names,) if isinstance(names, str) else names for names in table.columns.values())
    columns = tuple(dict.fromkeys(column for group in groups for column in group))
    return HubSource.parse({**definition.hub, "reader": "table", "columns": columns}, "hub")
