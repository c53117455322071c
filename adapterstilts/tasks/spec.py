"""The form of a task entry: frozen and declarative, with the places of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import field_validator, model_validator

from adapterstilts.errors import unknown
from adapterstilts.kinds.spec import SPECS, KindSpec
from adapterstilts.values import Value

KindName = str  # an entry of kinds/spec.py
Role = Literal["intermediate", "target", "language", "demo"]
Split = Literal["train", "dev", "test"]
Metric = Literal["accuracy", "f1", "em_f1", "map20"]

# Fields of a table that hold the label or answer. Without their columns the labels are hidden.
GOLD = ("label", "tags", "answers", "answer", "start")


class HubSource(Value):
    """A Hub dataset with data files.

    Attributes:
        repo: Dataset id.
        reader: Name of the function in `data/hub.py` that converts a record to a canonical row.
        splits: Our split -> the dataset's name for it, only for splits *with labels*. Several names joined by
            `+` are read one after the other.
        config: Configuration name. May contain `{lang}`.
        columns: Required columns.
        codes: Language code -> text that replaces `{lang}`, where it differs.
        commit: Pinned commit, only if a public page shows it. Otherwise resolved and recorded when loading.
        revision: Branch, if not the main one (`refs/convert/parquet` has the Hub's own conversion of a
            repository that only has a loading script).
        languages: Codes of the dataset's languages, if not all of the task's.
    """

    repo: str
    reader: str
    splits: Mapping[Split, str]
    columns: tuple[str, ...]
    config: str | None = None
    codes: Mapping[str, str] = {}
    commit: str | None = None
    revision: str | None = None
    languages: tuple[str, ...] = ()


class FolderSource(Value):
    """Files under a data folder laid out as the release (or XTREME's download script) does.

    Attributes:
        files: Split -> path templates relative to the data folder, which may contain `{lang}`. The first that
            exists is read. One template may have several parts, joined by `+`, with `*` or `[...]` in them:
            all their files are read one after the other.
        codes: Language code -> code in the file name, where it differs (Tatoeba: de -> deu).
    """

    files: Mapping[Split, tuple[str, ...]]
    codes: Mapping[str, str] = {}


class Table(Value):
    """The columns of a custom task's table.

    Attributes:
        format: Tab-separated without quoting or comma-separated with it (both with a header), JSON lines or
            Parquet.
        columns: Field (see `data/table_columns.py`) -> column. Several columns form the list of choices, or
            one text with spaces between.
        filter: Split -> column -> value. Selects the rows of a split from a file with several splits.
    """

    format: Literal["tsv", "csv", "jsonl", "parquet"]
    columns: Mapping[str, str | tuple[str, ...]]
    filter: Mapping[Split, Mapping[str, str]] = {}


class Task(Value):
    """One task: its properties, the places of its data, and its metric.

    Attributes:
        form: Name of the reader of the task's files in `data/release_files.py`.
        labels: Labels in head order. Empty for kinds without labels.
        label_names: Spelling in the release -> label, where it differs ("0" -> "different").
        languages: ISO 639-1 codes of the languages with evaluation data. ("en",) for an intermediate task.
        trained_on: Task whose English data trains this one; the task's own name if it has training data.
            None for a target without training data (retrieval).
        then_trained_on: Tasks that follow in the training protocol (XCOPA: Social IQa, then COPA). Their runs
            are evaluated on this task as well.
        metric: Headline metric. "em_f1" is the mean of exact match and F1.
        obtain: One sentence for error messages: the required files and where to get them.
        licence, citation: Licence of the data, and its citation key.
        unanswerable: Whether some questions of a span task have no answer (SQuAD v2). "No answer" is
            predicted only then.
        parts: Tasks whose rows a mixture combines (ANLI+: ANLI, MNLI and SNLI). Empty for other tasks.
        parallel: Correspondence of items across languages whose files are translations of each other:
            "order" by position, "id" by id. None if they are not parallel.
        symmetric: Whether a pair with its two texts swapped is the same item.
        normalisation: Normalisation of a span task's answers: SQuAD's in every language, or MLQA's.
        open_labels: Minimum number of occurrences of a label in the training rows, for a tagging task whose
            label set is read from them (`data/label_set.py`).
        hidden: Whether the data is read as a release without labels, for prediction only.
        table: Columns of a custom task that is read from a table (`form` is "table").
        base: Folder of the YAML file of a custom task; paths may be relative to it.
        aliases: Alternative names on the command line.
        version: Number, raised whenever a change affects results, or the digest of a custom task's
            definition. Part of every key.
    """

    name: str
    role: Role
    kind: KindName
    title: str
    form: str
    languages: tuple[str, ...]
    trained_on: str | None
    then_trained_on: tuple[str, ...] = ()
    metric: Metric
    licence: str
    citation: str
    obtain: str
    labels: tuple[str, ...] = ()
    label_names: Mapping[str, str] = {}
    folder: FolderSource | None = None
    hub: HubSource | None = None
    bundled: FolderSource | None = None
    unanswerable: bool = False
    parts: tuple[str, ...] = ()
    parallel: Literal["order", "id"] | None = None
    symmetric: bool = False
    normalisation: Literal["squad", "mlqa"] = "squad"
    open_labels: int | None = None
    hidden: bool = False
    table: Table | None = None
    base: str | None = None
    aliases: tuple[str, ...] = ()
    version: int | str = 1

    @field_validator("kind")
    @classmethod
    def _kind_exists(cls, kind: KindName) -> KindName:
        if kind not in SPECS:
            raise ValueError(str(unknown("kind", kind, SPECS)))
        return kind

    @model_validator(mode="after")
    def _labels_fit_kind(self) -> Self:
        if self.kind_spec.labelled != bool(self.labels) and not self.open_labels:
            raise ValueError(f"{self.name}: a {self.kind} task has labels exactly if it predicts them")
        return self

    @property
    def kind_spec(self) -> KindSpec:
        """Properties of the task's kind."""
        return SPECS[self.kind]

    @property
    def texts(self) -> int | None:
        """Texts of one example of a sequence task: one, or two of a pair; None where it is not known."""
        if self.table:
            return 2 if "second" in self.table.columns else 1
        return None if self.form == "table" or self.kind_spec.rows != "pair" else 2
