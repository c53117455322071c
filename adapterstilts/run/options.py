"""Options of the verbs: where the data is, which model, how to train, how to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from adapterstilts.data.load import DataLocation
from adapterstilts.hyperparameters import MOST_ROWS
from adapterstilts.values import Value

Precision = Literal["auto", "fp32", "bf16"]


class ModelOptions(Value):
    """The backbone, what is stacked on it, and the store.

    Attributes:
        backbone: Name (`adapterstilts backbones`), Hub id or folder of the frozen encoder.
        revision: Commit or tag of the backbone.
        language_adapter: MAD-X adapter (run id, folder or Hub id) below everything. `{lang}` in it is
            replaced by "en" in training and by the evaluated language in evaluation.
        encoding: Overrides of the kind's encoding settings; unknown keys are errors.
        store: Folder of results.
    """

    backbone: str = "me5-small"
    revision: str | None = None
    language_adapter: str | None = None
    encoding: Mapping[str, Any] = {}
    store: Path = Path("checkpoints")


class DataOptions(Value):
    """Where data may come from, and how much of it is used.

    Attributes:
        data_dir: Folder in XTREME's layout; the environment's ADAPTERSTILTS_DATA by default.
        source: Source to search; "auto" tries bundled data, the folder and the Hub, in this order.
        data_revision: Commit or tag of a Hub dataset.
        limit: Maximum number of rows: a seeded subsample.
        seed: Seed of everything random. In evaluations it only selects the subsample.
    """

    data_dir: Path | None = None
    source: Literal["auto", "folder", "hub", "bundled"] = "auto"
    data_revision: str | None = None
    limit: int | None = Field(None, le=MOST_ROWS)
    seed: int = Field(1, ge=0, lt=2**32)

    def location(self, file: str | None) -> DataLocation:
        """Returns where rows are searched; an explicit file takes precedence."""
        return DataLocation(
            data_dir=self.data_dir, file=file, source=self.source, revision=self.data_revision
        )


class TrainingOptions(ModelOptions, DataOptions):
    """Options of the verbs that train.

    Attributes:
        config: Name or YAML file of an adapter config. By default seq_bn, or the sources' own config if the
            target adapter starts from them.
        adapter: Overrides of the adapter config's settings.
        hyperparameters: Overrides of the kind's training hyperparameters; unknown keys are errors.
        train_file: English training data in the release's form; may end in `#first-last` (rows from 1).
        dev_file: English development data in the same form.
        train_files: Training files by task, for multi-task training.
        translated: Training data in other languages, in the release's form or XTREME's translate-train form.
            `{lang}` in it is replaced by each of `translated_languages`.
        translated_languages: Languages of the translated data.
        translated_only: Whether to train on the translated data alone, without the English data.
        mlm: Plain text for masked language modelling, alone (the task `mlm`) or mixed in: a file with one
            sentence or paragraph per line, which may hold `{lang}`, or a Hub dataset with a column `text`
            (`owner/name`, or `owner/name:config` with `{lang}` in the configuration).
        mlm_languages: Languages of that text.
        checkpoint_minutes: Minutes between checkpoints of an unfinished training.
        checkpoint_steps: Optimizer steps between checkpoints.
    """

    config: str | None = None
    adapter: Mapping[str, Any] = {}
    hyperparameters: Mapping[str, Any] = {}
    train_file: str | None = None
    dev_file: str | None = None
    train_files: Mapping[str, str] = {}
    translated: str | None = None
    translated_languages: tuple[str, ...] = ()
    translated_only: bool = False
    mlm: str | None = None
    mlm_languages: tuple[str, ...] = ()
    checkpoint_minutes: float = Field(5.0, ge=0)
    checkpoint_steps: int | None = Field(None, gt=0)


class PredictionOptions(ModelOptions):
    """Options of predictions for text without labels.

    Attributes:
        precision: Precision of the computation; "auto" is bf16 where the device computes in it, else fp32.
    """

    precision: Precision = "auto"


class EvaluationOptions(PredictionOptions, DataOptions):
    """Options of evaluations.

    Attributes:
        eval_file: File in the release's form; may hold `{lang}` and end in `#first-last` (rows from 1).
        allow_leak: Whether to score items that were trained on; the result reports them.
    """

    eval_file: str | None = None
    allow_leak: bool = False

    @classmethod
    def of(cls, options: ModelOptions | None) -> EvaluationOptions:
        """Returns the options of an evaluation; those of a training stand for the fields that they share.

        Args:
            options: Options of any verb. A training's precision is among its hyperparameters.
        """
        if options is None or isinstance(options, EvaluationOptions):
            return options or cls()
        fields = {
            name: getattr(options, name) for name in options.model_fields_set if name in cls.model_fields
        }
        if isinstance(options, TrainingOptions) and "precision" in options.hyperparameters:
            fields["precision"] = options.hyperparameters["precision"]
        return cls.parse(fields, "option")
