"""What a task is: one frozen declarative entry, with the places its data can come from."""

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

# The fields of a table that hold what is to be predicted; a table without their columns has hidden labels.
GOLD = ("label", "tags", "answers", "answer", "start")


class HubSource(Value):
    """A Hub dataset with data files.

    Attributes:
        repo: The dataset's id.
        reader: Name of the function in `data/hub.py` that turns one record into a canonical row.
        splits: The dataset's own name for each of our splits that it has *with labels*; several joined
            by `+` are read one after the other.
        config: Configuration name; may hold `{lang}`.
        columns: The columns that must be there.
        codes: Our language code -> what replaces `{lang}`, where it is not the code itself.
        commit: Pinned commit, only where a public page shows it; else resolved and recorded at load.
        revision: The branch to resolve where it is not the main one (`refs/convert/parquet` holds the
            Hub's own conversion of a repository that itself has only a loading script).
        languages: The codes that it has, where those are not all of the task's.
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
        files: For each split, a path template relative to the data folder; may hold `{lang}`.
            Several templates are tried in order; the first that exists is read. One template may name
            several files, with `+` between and `*` or `[...]` in them: they are read one after the other.
        codes: Our language code -> the code in the file name, where it differs (Tatoeba: de -> deu).
    """

    files: Mapping[Split, tuple[str, ...]]
    codes: Mapping[str, str] = {}


class Table(Value):
    """How a table is read whose columns a task of one's own names.

    Attributes:
        format: Tab-separated without quoting, comma-separated with it (both with a header), JSON lines or
            Parquet.
        columns: Our field (`data/table_columns.py`) -> the table's column. Several columns make the list of
            choices, or one text with spaces between.
        where: Split -> the values by which a row of a file with several splits is known to be of it.
    """

    format: Literal["tsv", "csv", "jsonl", "parquet"]
    columns: Mapping[str, str | tuple[str, ...]]
    where: Mapping[Split, Mapping[str, str]] = {}


class Task(Value):
    """One task: what it is, where its data comes from, and how it is scored.

    Attributes:
        form: Name of the reader in `data/release_files.py` for this task's release files.
        labels: The label set in head order; empty for other kinds.
        label_names: A release's own spelling -> our label, where it differs ("0" -> "different").
        languages: ISO 639-1 codes that can be evaluated; an intermediate task has ("en",).
        trained_on: The task whose English data trains this one; its own name where it has its own,
            None where the target has no training data (retrieval).
        then_trained_on: Tasks that its protocol goes on to train with (XCOPA: Social IQa, then COPA); runs of
            theirs are evaluated on it too.
        metric: Headline metric; "em_f1" is the mean of exact match and F1.
        obtain: One sentence: which file or dataset is wanted and where to get it.
        licence, citation: The data's licence and its citation key.
        unanswerable: A span task some of whose questions have no answer in their context (SQuAD v2):
            only then is "no answer" ever predicted.
        parts: Tasks whose rows this one joins (a mixture: ANLI+ is ANLI, MNLI and SNLI); empty otherwise.
        parallel: How the items of its languages correspond, where its files are translations of each
            other: "order" by their place in the file, "id" by their id; None where they are not parallel.
        symmetric: The two texts of a pair may change places: it is the same item then.
        normalisation: How a span task's answers are compared: SQuAD's way in every language, or MLQA's.
        open_labels: Of a tagging task whose label set is read off its training rows: how often a label must
            occur there to be one (`data/label_set.py`).
        hidden: Its data is read as one that is handed out without labels: rows are for prediction only.
        table: The columns of a task of one's own that is read from a table (`form` is "table").
        base: The folder of the YAML file that defines a task of one's own; its files may stand there.
        aliases: Other names that the command line takes.
        version: Raised whenever a change makes results differ, or the digest of the definition of a task
            of one's own; part of every key.
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
