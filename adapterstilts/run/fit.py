"""Runs one training job against a store: resolve, load, train, publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from adapterstilts.data.rows import Row
from adapterstilts.job import TrainJob
from adapterstilts.kinds import kind_of
from adapterstilts.kinds.base import Encoding
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.host import Host
from adapterstilts.run.assemble import Parts, Source, build, save
from adapterstilts.run.device import accelerator
from adapterstilts.run.evaluate import Model, to_device
from adapterstilts.run.progress import say
from adapterstilts.run.train import Course, Saving, train
from adapterstilts.store import Run, Store, Work
from adapterstilts.tasks.spec import Task
from adapterstilts.values import canonical


@dataclass(frozen=True)
class Fit:
    """A training job with everything that it needs at hand.

    Attributes:
        train, dev: English rows; both empty where the target has no training data.
        origin: where the rows and the backbone came from, for the record.
        language: folder of the language adapter, or None.
    """

    job: TrainJob
    task: Task
    files: BackboneFiles
    spec: AdapterSpec
    sources: Sequence[Source]
    encoding: Encoding
    train: Sequence[Row]
    dev: Sequence[Row]
    origin: dict[str, Any]
    language: Path | None = None


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


def fit(plan: Fit, store: Store, saving: Saving) -> Run:
    """Trains (or takes up again) and publishes; returns the finished run if there is one.

    Raises:
        StiltsError: as `run.train.train` and the store do.
    """
    with store.work(plan.job) as work:
        if work.finished:
            return work.finished
        return _fit(plan, work, saving)


def _fit(plan: Fit, work: Work, saving: Saving) -> Run:
    job, recipe = plan.job, plan.job.recipe
    host = fresh_host(plan.files, bool(recipe and recipe.backbone_dropout))
    kind = kind_of(plan.task)
    target = plan.task.name if recipe or job.composition.start else None
    head = kind.head(plan.task) if recipe else None
    parts = Parts(job.composition, plan.sources, plan.spec, head, plan.language, target, job.seed)
    setup = build(host, parts)
    metrics: dict[str, Any] = {}
    out = work.folder / "out"
    if recipe:
        host.activate(setup, train=True)
        model = Model(host, setup, kind, plan.task, plan.encoding, recipe.precision)
        features = kind.encode(plan.train, plan.task, host.tokenizer, plan.encoding)
        course = Course(features, plan.dev, recipe, job.seed, work.folder, saving)
        say(
            f"{plan.task.name}: {len(plan.train)} rows, {len(features)} examples, {course.total} steps of "
            f"{recipe.batch_size}, {recipe.precision} on {accelerator().device.type}, "
            f"{sum(p.numel() for p in host.trainable().values()):,} trainable parameters"
        )
        metrics = train(model, course)
        host.activate(setup, train=False)
        if setup.fused:
            metrics["fusion_attention"] = _attention(model, features)
    save(host, setup, parts, out)
    (out / "origin.json").write_text(canonical(plan.origin) + "\n", encoding="utf-8")
    return work.publish(metrics)


def _attention(model: Model, features: Sequence[Any]) -> list[list[float]]:
    """Mean AdapterFusion attention over adapters, per layer, on up to 64 training examples."""
    batch = to_device(model.kind.collate(features[:64], model.host.tokenizer.pad_token_id))
    return [[round(float(share), 6) for share in layer] for layer in model.host.fusion_attention(batch)]
