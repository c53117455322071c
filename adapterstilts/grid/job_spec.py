"""A job: one result that a grid wants, as pure data, and its digest.

A job says what is wanted before any data is read, so its digest is not the key of a job: two jobs may
lead to the same job, and then they share its result. Which run answers a job is recorded beside the runs
(`grid/records.py`).
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

FORM = SCHEMA  # results of an older form answer no job
LATER = ("language_adapter", "allow_leak", "precision")

JobType = Literal["train", "compose", "evaluate"]


class JobSettings(Value):
    """What a verb is told besides task, composition, seed and store; `run.options.Options` says what each is.

    Attributes:
        version: of the task; beside it what else may change under its name: the digest of an adapter config
            in a file of one's own, the fingerprint of a backbone in a folder.
        kind: of the task; None for several tasks.
        recipe: in full; None where nothing trains, and in evaluations.
        precision: of an evaluation; that of a training stands in its recipe.
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
    eval_file: str | None = None
    train_files: Mapping[str, str] = {}
    data_dir: Path | None = None
    source: Literal["auto", "folder", "hub", "bundled"] = "auto"
    limit: int | None = None
    language_adapter: str | None = None
    allow_leak: bool = False

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later stands in it only where it is set, so that older digests hold."""
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value or name not in LATER}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return digest(self)

    def options(self) -> dict[str, Any]:
        """As `run.options.Options` takes it: only what is set."""
        given = self.model_dump(
            exclude={"version", "kind", "hyperparameters", "precision"}, exclude_defaults=True
        )
        hyperparameters = self.hyperparameters.model_dump() if self.hyperparameters else {}
        hyperparameters |= {"precision": self.precision} if self.precision else {}
        return {**given, "hyperparameters": hyperparameters} if hyperparameters else given


class JobSpec(NamedTuple):
    """One wanted result.

    Attributes:
        task: as the verb takes it: a name, several (`a+b`), or the YAML file of a task of one's own.
        composition: of a training; "single" in evaluations, where it says nothing.
        needs: digests of the jobs whose results it is made from: the adapters to join, in order; the
            training to evaluate.
        seed: of a training; 1 in evaluations, so that all seeds are evaluated on the same rows.
        language, split: of an evaluation; "" in trainings.
        digest: SHA-256 of all that.
        about: for people, what else tells it from others: what a training is made from, which training an
            evaluation is of.
    """

    task: str
    composition: CompositionName
    needs: tuple[str, ...]
    settings: JobSettings
    seed: int
    language: str
    split: Split | Literal[""]
    digest: str
    about: str = ""

    @property
    def type(self) -> JobType:
        """Of a training: whether it joins adapters."""
        if self.language:
            return "evaluate"
        return "train" if self.composition == "single" else "compose"

    @property
    def name(self) -> str:
        """For people; mostly unique."""
        if self.language:
            return f"evaluate {self.task} {self.language}{f' of {self.about}' if self.about else ''}"
        return " ".join(filter(None, (self.composition, self.task, self.about, f"seed {self.seed}")))


def training(
    task: str,
    composition: CompositionName,
    needs: tuple[str, ...],
    settings: JobSettings,
    seed: int,
    about: str = "",
) -> JobSpec:
    """The job for a trained (or merged) adapter; where nothing trains, seeds are no matter."""
    seed = seed if settings.hyperparameters else 0
    identity = digest([FORM, "train", task, composition, needs, settings.digest, seed])
    return JobSpec(task, composition, needs, settings, seed, "", "", identity, about)


def evaluations(
    task: str, of: str, settings: JobSettings, split: Split, languages: Iterable[str], about: str = ""
) -> Iterator[JobSpec]:
    """The jobs for the evaluation of a training, by its digest, in these languages.

    There are many of these, so the digest is that of a short text and not of JSON.
    """
    begun = hashlib.sha256(f"{FORM} evaluate {of} {settings.digest} {split} {task} ".encode())
    needs = (of,)
    for language in languages:
        whole = begun.copy()
        whole.update(language.encode())
        yield JobSpec(task, "single", needs, settings, 1, language, split, whole.hexdigest(), about)
