"""Job specs: one requested result of a grid each, as pure data with a digest.

A job spec is made before any data is read, so its digest is not the key of the run: two job specs may lead to
the same run, and then they share it. `grid/records.py` records which run holds the result of a job spec.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import SerializerFunctionWrapHandler, model_serializer

from adapterstilts.composition import CompositionName
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.job import SCHEMA
from adapterstilts.tasks.spec import KindName, Split
from adapterstilts.values import Value, digest

# Fields that a digest contains only if they are set. A field that is added later belongs here as well:
# digests that are already recorded then stay valid.
OMITTED_IF_UNSET = ("language_adapter", "allow_leak", "precision")

JobType = Literal["train", "compose", "evaluate"]


class JobSettings(Value):
    """Settings of a job besides its task, composition, seed and store.

    The other fields are those of `run/options.py`, which is not imported: planning does not load torch.

    Attributes:
        version: Version of the task, the digest of an adapter config in a YAML file, and the fingerprint of a
            backbone folder: whatever may change under an unchanged name.
        kind: Kind of the task. None for multi-task trainings.
        adapter: Settings that replace those of the adapter config.
        hyperparameters: Complete hyperparameters. None for evaluations and where nothing is trained.
        precision: Precision of an evaluation. A training has it among its hyperparameters.
        train_file, dev_file: Explicit English files of a single-task training.
        train_files: Explicit training files by task, for multi-task trainings.
        eval_file: Explicit file of an evaluation.
    """

    version: str
    kind: KindName | None
    backbone: str
    revision: str | None = None
    config: str | None = None
    adapter: Mapping[str, Any] = {}
    hyperparameters: Hyperparameters | None = None
    precision: str | None = None
    encoding: Mapping[str, Any] = {}
    train_file: str | None = None
    dev_file: str | None = None
    eval_file: str | None = None
    train_files: Mapping[str, str] = {}
    data_dir: Path | None = None
    source: Literal["auto", "folder", "hub", "bundled"] = "auto"
    limit: int | None = None
    language_adapter: str | None = None
    allow_leak: bool = False

    @model_serializer(mode="wrap")
    def _omit_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value or name not in OMITTED_IF_UNSET}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return digest(self)

    def options(self) -> dict[str, Any]:
        """Returns the fields that are set, named like those of the verb's options."""
        fields = self.model_dump(exclude={"version", "kind", "hyperparameters"}, exclude_defaults=True)
        if self.hyperparameters:
            fields["hyperparameters"] = self.hyperparameters.model_dump()
        return fields


class JobSpec(NamedTuple):
    """One requested result. A tuple, since a plan may hold millions.

    Attributes:
        task: Task as the verb takes it: a name, joint tasks (`a+b`), or the YAML file of a custom task.
        composition: Composition of a training. Always "single" for evaluations.
        needs: Digests of the jobs whose results this one is made from: the adapters to combine, in order, or
            the training to evaluate.
        seed: Training seed. Always 1 for evaluations, so that all seeds are evaluated on the same rows.
        language, split: Language and split of an evaluation. Empty for trainings.
        digest: SHA-256 of all fields above.
        detail: Text that distinguishes jobs in messages: the sources of a training, or the training that is
            evaluated. No part of the digest.
    """

    task: str
    composition: CompositionName
    needs: tuple[str, ...]
    settings: JobSettings
    seed: int
    language: str
    split: Split | Literal[""]
    digest: str
    detail: str = ""

    @property
    def type(self) -> JobType:
        """Type of the job: "compose" if it combines adapters, otherwise "train" or "evaluate"."""
        if self.language:
            return "evaluate"
        return "train" if self.composition == "single" else "compose"

    @property
    def name(self) -> str:
        """Name for messages. Almost always unique within a grid."""
        if self.language:
            return f"evaluate {self.task} {self.language}{f' of {self.detail}' if self.detail else ''}"
        return " ".join(filter(None, (self.composition, self.task, self.detail, f"seed {self.seed}")))


def training(
    task: str,
    composition: CompositionName,
    needs: tuple[str, ...],
    settings: JobSettings,
    seed: int,
    detail: str = "",
) -> JobSpec:
    """Returns the job spec of a trained or merged adapter."""
    # Without training a result does not depend on the seed, so all seeds share one job
    seed = seed if settings.hyperparameters else 0
    # SCHEMA is part of the digest, so that results of an older version are not taken for current ones
    job_digest = digest([SCHEMA, "train", task, composition, needs, settings.digest, seed])
    return JobSpec(task, composition, needs, settings, seed, "", "", job_digest, detail)


def evaluations(
    task: str,
    training_digest: str,
    settings: JobSettings,
    split: Split,
    languages: Iterable[str],
    detail: str = "",
) -> Iterator[JobSpec]:
    """Yields the job specs of the evaluations of one training."""
    # A large grid has millions of evaluations. Hashing a short text, whose common part is hashed only once,
    # is several times as fast as canonical JSON.
    prefix = hashlib.sha256(f"{SCHEMA} evaluate {training_digest} {settings.digest} {split} {task} ".encode())
    needs = (training_digest,)
    for language in languages:
        state = prefix.copy()
        state.update(language.encode())
        yield JobSpec(task, "single", needs, settings, 1, language, split, state.hexdigest(), detail)
