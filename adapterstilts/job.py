"""A job is all that determines a result; its key is the hash of that and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from adapterstilts.composition import Composition
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.values import Value, digest

SCHEMA = 2  # raised when the form of a stored result changes


class TrainJob(Value):
    """Trains one composition on one task's English data (or merges, where the target has none).

    Attributes:
        task, task_version: the task whose data trains; for a retrieval target, that target. Of several tasks
            both are joined with `+` (`tasks/multitask.py`).
        backbone: fingerprint of the frozen encoder.
        data: fingerprints of the training and the development rows ("" where there are none).
        adapter: the adapter's configuration, canonical.
        recipe: with `precision` resolved; None where nothing trains.
        encoding: how text becomes subwords, canonical; of several tasks, each one's under its name.
        composition: over the keys of the source runs.
        language_adapter: digest of a frozen MAD-X adapter below everything, or None.
        languages: of the plain text that it is trained on, if any.
    """

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
    def _without_text(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Languages stand in it only where there is text."""
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name != "languages" or value}

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON."""
        return digest(self)

    @property
    def slug(self) -> str:
        """The readable part of the run's folder name; of language adapters it names the language."""
        text = f"-{'+'.join(self.languages)}" if self.task == "mlm" else ""
        return f"{self.composition.kind}-{self.task}{text}"


class EvalJob(Value):
    """Evaluates one trained run (or the bare backbone) on one language of one target.

    Attributes:
        run: key of the train run; "" is the backbone alone (retrieval).
        language_adapter: digest of the language adapter exchanged in for this language, or None.
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
        """SHA-256 of the canonical JSON."""
        return digest(self)

    @property
    def slug(self) -> str:
        """The readable part of the run's folder name."""
        return f"eval-{self.task}-{self.language}"
