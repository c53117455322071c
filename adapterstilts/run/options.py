"""Everything that a verb can be told besides what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from adapterstilts.data.load import DataLocation
from adapterstilts.hyperparameters import MOST_ROWS
from adapterstilts.values import Value


class Options(Value):
    """Everything a verb can be told besides what it is about.

    Attributes:
        backbone, revision: a name (`adapterstilts backbones`), a Hub id or a folder; its commit or tag.
        config, adapter: an adapter config's name or YAML file (seq_bn, or the sources' own where the
            target adapter starts from them), and settings over it.
        recipe, encoding: settings over the kind's defaults; unknown keys are errors.
        train_file, eval_file: files in the release's form; may hold `{lang}` and end in `#first-last`,
            counting rows from 1. For training, `eval_file` is the English development data.
        train_files: such files by task, where several are trained together.
        translated: training data in other languages, in the release's form or XTREME's translate-train form;
            may hold `{lang}`, which the `translated_languages` replace, one file for each.
        translated_only: train on that alone, without the English data.
        mlm: plain text for masked language modelling, by itself (the task `mlm`) or mixed in: a file with a
            sentence or paragraph a line, that may hold `{lang}`, or a Hub dataset with a column `text`
            (`owner/name`, or `owner/name:config` with `{lang}` in the configuration).
        mlm_languages: the languages of that text.
        data_dir: a folder in XTREME's layout; the environment's ADAPTERSTILTS_DATA by default.
        source: where data may come from.
        data_revision: commit or tag of a Hub dataset.
        limit: a seeded subsample of that many rows.
        seed: of everything that is random.
        language_adapter: a MAD-X adapter (run id, folder or Hub id) below everything; may hold `{lang}`,
            which is "en" in training and the evaluated language in evaluation.
        store: the folder of results.
        checkpoint_minutes, checkpoint_steps: how often an unfinished training is saved.
        allow_leak: evaluate items that were trained on too; the result says so.
    """

    backbone: str = "me5-small"
    revision: str | None = None
    config: str | None = None
    adapter: Mapping[str, Any] = {}
    hyperparameters: Mapping[str, Any] = {}
    encoding: Mapping[str, Any] = {}
    train_file: str | None = None
    eval_file: str | None = None
    train_files: Mapping[str, str] = {}
    translated: str | None = None
    translated_languages: tuple[str, ...] = ()
    translated_only: bool = False
    mlm: str | None = None
    mlm_languages: tuple[str, ...] = ()
    data_dir: Path | None = None
    source: Literal["auto", "folder", "hub", "bundled"] = "auto"
    data_revision: str | None = None
    limit: int | None = Field(None, le=MOST_ROWS)
    seed: int = Field(1, ge=0, lt=2**32)
    language_adapter: str | None = None
    store: Path = Path("checkpoints")
    checkpoint_minutes: float = Field(5.0, ge=0)
    checkpoint_steps: int | None = Field(None, gt=0)
    allow_leak: bool = False

    def location(self, file: str | None) -> DataLocation:
        """Where rows are looked for, an explicit file first."""
        return DataLocation(
            data_dir=self.data_dir, file=file, source=self.source, revision=self.data_revision
        )
