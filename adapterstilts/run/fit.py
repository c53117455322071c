"""Runs one training job against a store: resolve, load, train, publish."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from adapterstilts.data.item_digests import Digests, write_items
from adapterstilts.data.rows import Row
from adapterstilts.job import TrainJob
from adapterstilts.kinds.base import Encoding
from adapterstilts.kinds.registry import kind_of
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.host import Host
from adapterstilts.run import distributed
from adapterstilts.run.assemble import Parts, Source, build, save
from adapterstilts.run.device import accelerator
from adapterstilts.run.effect import measure
from adapterstilts.run.loop import train
from adapterstilts.run.predict import Model, to_device
from adapterstilts.run.progress import say
from adapterstilts.run.sampling import CheckpointPolicy, Stream, TrainingSchedule
from adapterstilts.store import Run, Store, TrainOrigin, Work, effect_lines
from adapterstilts.store.effect import KEY
from adapterstilts.tasks.spec import Task


@dataclass(frozen=True)
class Lesson:
    """One task's part in a training.

    Attributes:
        train, dev: English rows (of plain text: in its languages); no `dev` keeps the last step.
    """

    task: Task
    encoding: Encoding
    train: Sequence[Row]
    dev: Sequence[Row]


@dataclass(frozen=True)
class Fit:
    """A training job with everything that it needs at hand.

    Attributes:
        lessons: one for each task, text that is mixed in last; none where the target has no training data.
        origin: where the rows and the backbone came from, for the record.
        language: folder of the language adapter, or None.
        before: digests of the items that the sources were trained on.
    """

    job: TrainJob
    lessons: Sequence[Lesson]
    files: BackboneFiles
    spec: AdapterSpec
    sources: Sequence[Source]
    origin: TrainOrigin
    language: Path | None = None
    before: Digests | None = None

    @property
    def adapter(self) -> str:
        """What the target adapter is called inside the host and in its folder."""
        names = [
            lesson.task.name
            for lesson in self.lessons
            if not self.mixed or not lesson.task.kind_spec.plain_text
        ]
        return "multitask" if len(names) > 1 else names[0] if names else self.job.task

    @property
    def mixed(self) -> bool:
        """Whether plain text is mixed in, beside tasks."""
        return len(self.lessons) > 1 and self.lessons[-1].task.kind_spec.plain_text


@lru_cache(maxsize=1)
def host_for(files: BackboneFiles, dropout: bool) -> Host:
    """The backbone, loaded once and kept for the next job of this process."""
    host = Host(files, dropout=dropout)
    host.model.to(accelerator().device)
    return host


def fresh_host(files: BackboneFiles, dropout: bool = False) -> Host:
    """The backbone without any adapter."""
    host = host_for(files, dropout)
    host.reset()
    return host


def fit(plan: Fit, store: Store, saving: CheckpointPolicy) -> Run:
    """Trains (or takes up again) and publishes; returns the finished run if there is one.

    Raises:
        StiltsError: as `run.train.train` and the store do.
    """
    with store.work(plan.job) if distributed.leads() else nullcontext() as held:
        work = cast(Work, distributed.from_leader(lambda: held))
        if work.finished:
            return work.finished
        return _fit(plan, work, saving)


def _fit(plan: Fit, work: Work, saving: CheckpointPolicy) -> Run:
    job, hyperparameters = plan.job, plan.job.hyperparameters
    host = fresh_host(plan.files, bool(hyperparameters and hyperparameters.backbone_dropout))
    target = plan.adapter if hyperparameters or job.composition.start else None
    heads = {lesson.task.name: kind_of(lesson.task).head(lesson.task) for lesson in plan.lessons}
    known = {name: head for name, head in heads.items() if head}
    parts = Parts(job.composition, plan.sources, plan.spec, known, plan.language, target, job.seed)
    setup = build(host, parts)
    metrics: dict[str, Any] = {}
    course = None
    out = work.folder / "out"
    if hyperparameters:
        host.activate(setup, train=True, heads=list(known))
        streams = [_stream(lesson, host, setup, hyperparameters.precision) for lesson in plan.lessons]
        course = TrainingSchedule(streams, hyperparameters, job.seed, work.folder, saving, plan.mixed)
        _announce(plan, course)
        metrics = train(course)
        host.activate(setup, train=False)
        if setup.fused:
            metrics["fusion_attention"] = _attention(streams[0])

    def publish() -> Run:
        host.activate(setup, train=False)
        if measured := measure(host, setup, course.tasks if course else ()):
            metrics[KEY] = measured
        save(host, setup, parts, out)
        plan.origin.write(out)
        write_items(out, [row for lesson in plan.lessons for row in lesson.train], plan.before)
        run = work.publish(metrics)
        for line in effect_lines(run):
            say(line)
        return run

    return distributed.from_leader(publish)


def _stream(lesson: Lesson, host: Host, setup: ActiveAdapters, precision: str) -> Stream:
    """A task's rows as features, and the model with the task's head."""
    kind = kind_of(lesson.task)
    model = Model(host, replace(setup, head=lesson.task.name), kind, lesson.task, lesson.encoding, precision)
    features = kind.encode(lesson.train, lesson.task, host.tokenizer, lesson.encoding)
    return Stream(model, features, lesson.dev, kind.dynamic_masking(host.tokenizer))


def _announce(plan: Fit, course: TrainingSchedule) -> None:
    """Says what is about to be trained, of several tasks how often each has its turn."""
    host = course.streams[0].model.host
    for lesson, stream, share in zip(plan.lessons, course.streams, course.shares, strict=True):
        turns = f", {share:.0%} of the steps" if len(course.streams) > 1 else ""
        say(f"{lesson.task.name}: {len(lesson.train)} rows, {len(stream.features)} examples{turns}")
        if lesson.task.kind_spec.plain_text and not host.has_pretrained_head(lesson.task.name):
            say(
                f"{plan.files.name} comes without a head for masked subwords: a new one over its input "
                "embeddings is trained beside the adapter, and not kept"
            )
    trained = sum(parameter.numel() for parameter in host.trainable().values())
    several = f" in {distributed.count()} processes" if distributed.count() > 1 else ""
    say(
        f"{course.total} steps of {course.hyperparameters.batch_size}, {course.hyperparameters.precision} on "
        f"{accelerator().device.type}{several}, {trained:,} trainable parameters"
    )
    if course.hyperparameters.max_steps and course.total < course.hyperparameters.max_steps:
        say(
            f"training ends after {course.total} step{'s' * (course.total > 1)}, before max_steps "
            f"{course.hyperparameters.max_steps}: its epochs ({course.hyperparameters.epochs:g}) end first. "
            "To train longer, raise --epochs"
        )


def _attention(stream: Stream) -> list[list[float]]:
    """Mean AdapterFusion attention over adapters, per layer, on up to 64 training examples."""
    host = stream.model.host
    batch = to_device(stream.model.kind.collate(stream.features[:64], host.tokenizer.pad_token_id))
    return [[round(float(share), 6) for share in layer] for layer in host.fusion_attention(batch)]
