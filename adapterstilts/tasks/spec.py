"""What a task is: one frozen declarative entry, with the places its data can come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from adapterstilts.values import Value

KindName = Literal["sequence", "tagging", "span", "choice", "retrieval"]
Role = Literal["intermediate", "target", "demo"]
Split = Literal["train", "dev", "test"]
Metric = Literal["accuracy", "f1", "em_f1"]


class HubSource(Value):
    """A Hub dataset with data files.

    Attributes:
        repo: the dataset's id.
        reader: name of the function in `data/hub.py` that turns one record into a canonical row.
        splits: the dataset's own name for each of our splits that it has *with labels*.
        config: configuration name; may hold `{lang}`.
        columns: the columns that must be there.
        codes: our language code -> what replaces `{lang}`, where it is not the code itself.
        commit: pinned commit, only where a public page shows it; else resolved and recorded at load.
        revision: the branch to resolve where it is not the main one (`refs/convert/parquet` holds the
            Hub's own conversion of a repository that itself has only a loading script).
        languages: the codes that it has, where those are not all of the task's.
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
        files: for each split, a path template relative to the data folder; may hold `{lang}`.
            Several templates are tried in order; the first that exists is read.
        codes: our language code -> the code in the file name, where it differs (Tatoeba: de -> deu).
    """

    files: Mapping[Split, tuple[str, ...]]
    codes: Mapping[str, str] = {}


class Task(Value):
    """One task: what it is, where its data comes from, and how it is scored.

    Attributes:
        form: name of the reader in `data/files.py` for this task's release files.
        labels: the label set in head order; empty for span, choice and retrieval.
        label_names: a release's own spelling -> our label, where it differs ("0" -> "different").
        languages: ISO 639-1 codes that can be evaluated; an intermediate task has ("en",).
        trained_on: the task whose English data trains this one; its own name where it has its own,
            None where the target has no training data (retrieval).
        metric: headline metric; "em_f1" is the mean of exact match and F1.
        obtain: one sentence: which file or dataset is wanted and where to get it.
        licence, citation: the data's licence and its citation key.
        unanswerable: a span task some of whose questions have no answer in their context (SQuAD v2):
            only then is "no answer" ever predicted.
        aliases: other names that the command line takes.
        version: raised whenever a change makes results differ; part of every key.
    """

    name: str
    role: Role
    kind: KindName
    title: str
    form: str
    languages: tuple[str, ...]
    trained_on: str | None
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
    aliases: tuple[str, ...] = ()
    version: int = 1

    @model_validator(mode="after")
    def _labels_fit_kind(self) -> Self:
        if (self.kind in ("sequence", "tagging")) != bool(self.labels):
            raise ValueError(f"{self.name}: a {self.kind} task has labels exactly if it predicts them")
        return self
