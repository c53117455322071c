"""Collects the content of a run's model card from the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterstilts.hub.licence import Licence
from adapterstilts.job import EvalJob, TrainJob
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.kinds.registry import encoding_for
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.model.saved import read_active_adapters
from adapterstilts.store import Run
from adapterstilts.store.origin import EvalOrigin, TrainOrigin
from adapterstilts.tasks.citations import Credit
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import Task

NOT_A_SCORE = ("examples", "score", "threshold", "leaked", "labels", "low", "high")  # in metrics.json


@dataclass(frozen=True)
class Backbone:
    """The frozen encoder that a run belongs to.

    Attributes:
        name: Requested name; the last part of the path for a local folder.
        repo: Hub id, or None.
        commit: Commit on the Hub, or None.
        fingerprint: Digest of the encoder (see `model/backbone.py`).
        tokenizer: SHA-256 of the tokenizer's files, None if unknown.
        model_type: Model type: bert, xlm-roberta or roberta. None without an adapter.
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
        task: Evaluated task.
        language: Language code.
        split: Name of the split.
        headline: Main metric of the task, percent.
        interval: 95 % interval of the headline, None if there is none.
        metrics: All metrics by name, percent.
        examples: Number of examples.
        rows: Description of the rows: split, file, subsample, and settings of the encoding that differ from
            the default.
        revision: Commit of the data, None if unknown.
        leaked: Number of examples that are also in the training data.
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
    """The content of a run's card.

    Attributes:
        run: Run that is published.
        tasks: Tasks that it was trained on.
        setup: Its active adapters.
        heads: Its heads by name.
        origin: Origin of its data and backbone, without paths of the machine it was trained on.
        backbone: Its backbone.
        credits: Data sets that it and its source runs were trained on.
        licence: Licence of the adapter.
        scores: Most complete evaluation of each task, language and split.
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
        """Job of the run."""
        return self.run.training

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of its adapters, from the bottom up."""
        setup = self.setup
        names = (setup.language, *setup.below, *setup.fused, setup.target)
        return tuple(name for name in names if name)

    @property
    def title(self) -> str:
        """Titles of its tasks, joined. Plain text is omitted beside other tasks."""
        names = [task.title for task in self.tasks if task.name != TEXT or len(self.tasks) == 1]
        return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

    @property
    def text_alone(self) -> bool:
        """Whether it is a language adapter, trained on plain text only."""
        return self.job.task == TEXT

    @property
    def method(self) -> str:
        """Method of its adapters: bottleneck, lora, prefix_tuning or union."""
        return str(self.job.adapter.get("architecture", "bottleneck"))


def facts(run: Run, credited: Sequence[Credit], evaluations: Iterable[Run]) -> Facts:
    """Collects the content of a run's card.

    Args:
        run: Run to publish.
        credited: Data sets that it and its source runs were trained on.
        evaluations: Stored evaluations, those of other runs included.
    """
    setup, heads = read_active_adapters(run.path)
    origin = _published_origin(TrainOrigin.require(run.path), credited)
    return Facts(
        run=run,
        tasks=run.tasks,
        setup=setup,
        heads=heads,
        origin=origin,
        backbone=_backbone(run, origin),
        credits=credited,
        licence=Licence.of(credit.licence for credit in credited),
        scores=_scores(run, evaluations),
    )


def _published_origin(origin: TrainOrigin, credited: Sequence[Credit]) -> TrainOrigin:
    """Returns the origin without paths of this machine, and with all credits."""
    # The instructions of a custom task can name a folder of this machine
    tasks = {
        name: {**task, "obtain": "the data of whoever published this run."} if task.get("base") else task
        for name, task in origin.tasks.items()
    }
    ancestors = origin.ancestors.model_copy(update={"credits": tuple(credited)})
    published = origin.model_copy(update={"ancestors": ancestors, "tasks": tasks})
    return TrainOrigin.parse(without_paths(published.model_dump(mode="json")))


def without_paths(value: Any) -> Any:
    """Returns the value with every path that leads out of the data folder reduced to its last part."""
    # Such paths are useless elsewhere, and can reveal the name of a user
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and value.startswith(("/", "~", "..", "file:")):
        return value.rstrip("/").rpartition("/")[2]
    return value


def _backbone(run: Run, origin: TrainOrigin) -> Backbone:
    backbone = origin.backbone
    bundled = NAMES.get(backbone.name)
    on_hub = backbone.commit is not None or bundled is not None
    records = sorted(run.path.glob("adapters/*/adapter_config.json"))
    return Backbone(
        name=backbone.name,
        repo=(bundled.repo if bundled else backbone.name) if on_hub else None,
        commit=backbone.commit,
        fingerprint=backbone.fingerprint,
        tokenizer=backbone.tokenizer,
        model_type=json.loads(records[0].read_bytes()).get("model_type") if records else None,
    )


def _scores(run: Run, evaluations: Iterable[Run]) -> list[Score]:
    fullest: dict[tuple[str, str, str], Score] = {}
    tasks = {task.name: task for task in run.tasks}
    for evaluation in evaluations:
        job = evaluation.job
        if not isinstance(job, EvalJob) or job.run != run.key or "score" not in evaluation.metrics:
            continue
        if job.task not in tasks.keys() | all_tasks().keys():
            continue  # a custom task that is defined in a file outside the run
        score = _score(evaluation, job, tasks)
        group = (score.task.name, score.language, score.split)
        if group not in fullest or _completeness(fullest[group]) < _completeness(score):
            fullest[group] = score
    return sorted(
        fullest.values(),
        key=lambda score: (score.task.name, score.split, score.language != "en", score.language),
    )


def _completeness(score: Score) -> tuple[int, int]:
    """Sort key: more examples are better, then fewer changes to the default encoding."""
    # A description is longer by each setting that is not the default
    return score.examples, -len(score.rows)


def _score(evaluation: Run, job: EvalJob, tasks: Mapping[str, Task]) -> Score:
    metrics = evaluation.metrics
    task = tasks[job.task] if job.task in tasks else get_task(job.task)
    origin = EvalOrigin.read(evaluation.path)
    record = without_paths(origin.data) if origin else {}
    scores = {
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
        metrics={task.metric: float(metrics["score"]), **scores},
        examples=int(metrics["examples"]),
        rows=_rows(task, job, record),
        revision=record.get("commit"),
        leaked=int(metrics.get("leaked", 0)),
    )


def _rows(task: Task, job: EvalJob, record: Mapping[str, Any]) -> str:
    """Describes the scored rows."""
    parts = [f"file {record['file']}" if record.get("file") else f"split {job.split}"]
    if record.get("slice"):
        parts.append("rows {}-{}".format(*record["slice"]))
    if record.get("limit"):
        parts.append(f"a subsample of {record['limit']} with seed {record['seed']}")
    default = encoding_for(task, job.language, {}).model_dump(mode="json")
    # The threshold is chosen on development data for each language, so it always differs
    differs = {name: value for name, value in job.encoding.items() if default.get(name, value) != value}
    parts += [f"{name}={value}" for name, value in sorted(differs.items()) if name != "threshold"]
    return ", ".join(parts)
