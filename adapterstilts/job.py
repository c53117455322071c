"""Jobs: all settings that determine a result. A job's key is the hash of its canonical JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from adapterstilts.composition import Composition
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.values import Value, digest

# Raised when files of a run change their format. It is part of every key, so older results are never reused.
SCHEMA = 2


class TrainJob(Value):
    """Trains one composition on one task's English data, or merges adapters if the target has none.

    Attributes:
        task, task_version: Task whose data is trained on; for a retrieval target, that target. Multi-task:
            names and versions, each joined with `+` (`tasks/multitask.py`).
        backbone: Fingerprint of the frozen encoder.
        data: Fingerprints of the training and the development rows, "" if there are none.
        adapter: Configuration of the adapter, canonical.
        hyperparameters: Hyperparameters with `precision` resolved; None if nothing is trained.
        encoding: Settings of the tokenization, canonical. Multi-task: the settings of each task by its name.
        composition: Composition over the keys of the source runs.
        language_adapter: Digest of a frozen MAD-X adapter below all others, or None.
        languages: Languages of the plain text that it is trained on, if any.
        seed: Training seed; 0 if nothing is trained.
    """

    # The order of the fields does not matter: canonical JSON sorts them.
    type: Literal["train"] = "train"
    schema_version: int = SCHEMA
    task: str
    task_version: int | str
    backbone: str
    data: Mapping[str, str]
    adapter: Mapping[str, Any]
    hyperparameters: Hyperparameters | None
    encoding: Mapping[str, Any]
    composition: Composition
    language_adapter: str | None = None
    languages: tuple[str, ...] = ()
    seed: int = 1

    @model_serializer(mode="wrap")
    def _without_languages(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Only training on plain text has languages; without the field all other jobs are shorter.
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name != "languages" or value}

    @property
    def key(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return digest(self)

    @property
    def slug(self) -> str:
        """Readable part of the run's folder name, with the languages of a language adapter."""
        # Language adapters of many languages differ in nothing else, so the language helps to find them.
        text = f"-{'+'.join(self.languages)}" if self.task == "mlm" else ""
        return f"{self.composition.kind}-{self.task}{text}"


class EvalJob(Value):
    """Evaluates one trained run (or the bare backbone) on one language of one target.

    Attributes:
        run: Key of the trained run; "" for the backbone alone (retrieval).
        split: Split of the target, or "file" for an explicit file.
        data: Fingerprint of the evaluated rows.
        encoding: Settings of the tokenization, canonical.
        precision: Precision of the computation, "fp32" or "bf16".
        language_adapter: Digest of the language adapter used for this language, or None.
    """

    type: Literal["eval"] = "eval"
    schema_version: int = SCHEMA
    run: str
    task: str
    task_version: int | str
    split: str
    language: str
    backbone: str
    data: str
    encoding: Mapping[str, Any]
    precision: str
    language_adapter: str | None = None

    @property
    def key(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return digest(self)

    @property
    def slug(self) -> str:
        """Readable part of the run's folder name."""
        return f"eval-{self.task}-{self.language}"
