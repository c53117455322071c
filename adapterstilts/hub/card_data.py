"""What a model card says of a run: all of it read from the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterstilts.hub.licence import Licence, licence_of
from adapterstilts.job import EvalJob, TrainJob
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.kinds.registry import encoding_for
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.model.saved import read_active_adapters
from adapterstilts.store import Run, tasks_of
from adapterstilts.store.origin import EvalOrigin, TrainOrigin
from adapterstilts.tasks.citations import Credit
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import Task

NOT_A_SCORE = ("examples", "score", "threshold", "leaked", "labels", "low", "high")


@dataclass(frozen=True)
class Backbone:
    """The frozen encoder that a run belongs to.

    Attributes:
        name: as it was asked for; the folder's last part for a local one.
        repo: its Hub id, or None.
        commit: the one that the Hub resolved, or None.
        fingerprint: see `model/backbone.py`.
        tokenizer: SHA-256 of its files, None of a run that does not say.
        model_type: bert, xlm-roberta or roberta; None of a bare backbone.
    """

    name: str
    repo: str | None
    commit: str | None
    fingerprint: str
    tokenizer: str | None
    model_type: str | None


@dataclass(frozen=True)
class Score:
    """One stored evaluation.

    Attributes:
        headline: the task's headline metric, percent, and its 95 % interval where there is one.
        metrics: name -> percent, of all.
        rows: which they were, in words: split, file, subsample, and what of the encoding is not the default.
        leaked: how many of the examples had been trained on.
    """

    task: Task
    language: str
    split: str
    headline: float
    interval: tuple[float, float] | None
    metrics: Mapping[str, float]
    examples: int
    rows: str
    revision: str | None
    leaked: int


@dataclass(frozen=True)
class Facts:
    """All that the card of a run says.

    Attributes:
        setup, heads: which adapters and heads it has.
        origin: where its data and backbone came from, without paths of the machine it was trained on.
        credits: data sets that it and what it was built on were trained on.
        scores: the fullest evaluation of each task, language and split.
    """

    run: Run
    tasks: tuple[Task, ...]
    setup: ActiveAdapters
    heads: Mapping[str, HeadSpec]
    origin: TrainOrigin
    backbone: Backbone
    credits: Sequence[Credit]
    licence: Licence
    scores: Sequence[Score]

    @property
    def job(self) -> TrainJob:
        """The job of the run."""
        return self.run.training

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of its adapters, from the bottom up."""
        setup = self.setup
        own = (setup.language, *setup.below, *setup.fused, setup.target)
        return tuple(name for name in own if name)

    @property
    def text_alone(self) -> bool:
        """Whether it is a language adapter: trained on plain text and nothing else."""
        return self.job.task == TEXT

    @property
    def method(self) -> str:
        """Of its adapters: bottleneck, lora, prefix_tuning or union."""
        return str(self.job.adapter.get("architecture", "bottleneck"))


def facts(run: Run, owed: Sequence[Credit], evaluations: Iterable[Run]) -> Facts:
    """Gathers what the card says.

    Args:
        owed: see the credits of `Facts`.
        evaluations: stored results of the run.
    """
    setup, heads = read_active_adapters(run.path)
    origin = _published(TrainOrigin.require(run.path), owed)
    return Facts(
        run=run,
        tasks=tasks_of(run),
        setup=setup,
        heads=heads,
        origin=origin,
        backbone=_backbone(run, origin),
        credits=owed,
        licence=licence_of(credit.licence for credit in owed),
        scores=_scores(run, evaluations),
    )


def _published(origin: TrainOrigin, owed: Sequence[Credit]) -> TrainOrigin:
    """Returns the origin without paths of this machine and with the credits that are owed."""
    tasks = {
        name: {**each, "obtain": "the data of whoever published this run."} if each.get("base") else each
        for name, each in origin.tasks.items()
    }
    ancestors = origin.ancestors.model_copy(update={"credits": tuple(owed)})
    published = origin.model_copy(update={"ancestors": ancestors, "tasks": tasks})
    return TrainOrigin.parse(without_paths(published.model_dump(mode="json")))


def without_paths(value: Any) -> Any:
    """The value with only the last part of each path that begins outside the data folder.

    Paths of the machine that a run was trained on mean nothing elsewhere, and may say who trained it.
    """
    if isinstance(value, Mapping):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_paths(each) for each in value]
    if isinstance(value, str) and value.startswith(("/", "~", "..", "file:")):
        return value.rstrip("/").rpartition("/")[2]
    return value


def _backbone(run: Run, origin: TrainOrigin) -> Backbone:
    backbone = origin.backbone
    known = NAMES.get(backbone.name)
    on_hub = backbone.commit is not None or known is not None
    records = sorted(run.path.glob("adapters/*/adapter_config.json"))
    return Backbone(
        name=backbone.name,
        repo=(known.repo if known else backbone.name) if on_hub else None,
        commit=backbone.commit,
        fingerprint=backbone.fingerprint,
        tokenizer=backbone.tokenizer,
        model_type=json.loads(records[0].read_bytes()).get("model_type") if records else None,
    )


def _scores(run: Run, evaluations: Iterable[Run]) -> list[Score]:
    fullest: dict[tuple[str, str, str], Score] = {}
    own = {task.name: task for task in tasks_of(run)}
    for each in evaluations:
        job = each.job
        if not isinstance(job, EvalJob) or job.run != run.key or "score" not in each.metrics:
            continue
        if job.task not in own.keys() | all_tasks().keys():
            continue  # a custom task, defined in a file that the run does not know
        score = _score(each, job, own)
        place = (score.task.name, score.language, score.split)
        if place not in fullest or _fullness(fullest[place]) < _fullness(score):
            fullest[place] = score
    return sorted(
        fullest.values(), key=lambda each: (each.task.name, each.split, each.language != "en", each.language)
    )


def _fullness(score: Score) -> tuple[int, int]:
    """The more examples the better; of as many, the nearer to the default encoding."""
    return score.examples, -len(score.rows)


def _score(evaluation: Run, job: EvalJob, own: Mapping[str, Task]) -> Score:
    metrics = evaluation.metrics
    task = own[job.task] if job.task in own else get_task(job.task)
    origin = EvalOrigin.read(evaluation.path)
    record = without_paths(origin.data) if origin else {}
    known = {
        metric: float(value)
        for metric, value in metrics.items()
        if metric not in NOT_A_SCORE and isinstance(value, int | float)
    }
    low, high = metrics.get("low"), metrics.get("high")
    return Score(
        task=task,
        language=job.language,
        split=job.split,
        headline=float(metrics["score"]),
        interval=None if low is None or high is None else (float(low), float(high)),
        metrics={task.metric: float(metrics["score"]), **known},
        examples=int(metrics["examples"]),
        rows=_rows(task, job, record),
        revision=record.get("commit"),
        leaked=int(metrics.get("leaked", 0)),
    )


def _rows(task: Task, job: EvalJob, record: Mapping[str, Any]) -> str:
    """Which rows were scored, and how."""
    said = [f"file {record['file']}" if record.get("file") else f"split {job.split}"]
    if record.get("slice"):
        said.append("rows {}-{}".format(*record["slice"]))
    if record.get("limit"):
        said.append(f"a subsample of {record['limit']} with seed {record['seed']}")
    default = encoding_for(task, job.language, {}).model_dump(mode="json")
    differs = {name: value for name, value in job.encoding.items() if default.get(name, value) != value}
    said += [f"{name}={value}" for name, value in sorted(differs.items()) if name != "threshold"]
    return ", ".join(said)


def trained(tasks: Sequence[Task]) -> str:
    """The titles of tasks, in words."""
    names = [task.title for task in tasks if task.name != TEXT or len(tasks) == 1]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
