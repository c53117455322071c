"""Runs one training job against a store: build, train, publish."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

from adapterstilts.data.item_digests import write_items
from adapterstilts.run import distributed
from adapterstilts.run.assemble import LANGUAGE, TrainingPlan, build, save
from adapterstilts.run.device import accelerator
from adapterstilts.run.effect import measure
from adapterstilts.run.host_cache import fresh_host
from adapterstilts.run.loop import train
from adapterstilts.run.predictor import to_device
from adapterstilts.run.progress import say
from adapterstilts.run.sampling import CheckpointPolicy, TrainingSchedule
from adapterstilts.store import Effect, Run, Store, Work
from adapterstilts.store.effect import KEY

ATTENTION_EXAMPLES = 64  # training examples on which AdapterFusion's attention is measured


def fit(plan: TrainingPlan, store: Store, policy: CheckpointPolicy) -> Run:
    """Trains, or resumes a training, and publishes the run; returns the finished run if there is one.

    Raises:
        StiltsError: See `run.loop.train` and `Store.work`.
    """
    # The leader of a launch alone holds the job's lock; the other processes get its answer.
    with store.work(plan.job) if distributed.leads() else nullcontext() as locked:
        work = cast(Work, distributed.from_leader(lambda: locked))
        if work.finished:
            return work.finished
        hyperparameters = plan.job.hyperparameters
        host = fresh_host(plan.files, bool(hyperparameters and hyperparameters.backbone_dropout))
        adapters = build(host, plan)
        metrics: dict[str, Any] = {}
        schedule = None
        if hyperparameters:
            host.activate(adapters, train=True, heads=list(plan.heads))
            data = [part.encode(host.tokenizer) for part in plan.data]
            schedule = TrainingSchedule(
                host, adapters, data, hyperparameters, plan.job.seed, work.folder, policy, plan.mixed
            )
            _announce(plan, schedule)
            metrics = train(schedule)
            host.activate(adapters, train=False)
            if adapters.fused:
                metrics["fusion_attention"] = _attention(schedule)

        def publish() -> Run:
            host.activate(adapters, train=False)
            if effect := measure(host, adapters, schedule):
                metrics[KEY] = effect
            out = work.folder / "out"
            frozen = {
                source.name: source.folder
                for source in plan.sources
                if source.name in adapters.below + adapters.fused
            }
            if plan.language:
                frozen[LANGUAGE] = plan.language
            save(host, adapters, plan.heads, out, frozen)
            plan.origin.write(out)
            write_items(out, [row for part in plan.data for row in part.train], plan.trained_items)
            run = work.publish(metrics)
            for line in Effect.lines_of(run):
                say(line)
            return run

        return distributed.from_leader(publish)


def _announce(plan: TrainingPlan, schedule: TrainingSchedule) -> None:
    """Reports what will be trained; for several tasks also each one's share of the steps."""
    host, hyperparameters = schedule.host, schedule.hyperparameters
    for data, share in zip(schedule.data, schedule.shares, strict=True):
        share_text = f", {share:.0%} of the steps" if len(schedule.data) > 1 else ""
        say(f"{data.task.name}: {len(data.train)} rows, {len(data.features)} examples{share_text}")
        if data.task.kind_spec.plain_text and not host.has_pretrained_head(data.task.name):
            say(
                f"{plan.files.name} has no head for masked subwords: a new one, tied to its input "
                "embeddings, is trained with the adapter and discarded afterwards"
            )
    trainable = sum(parameter.numel() for parameter in host.trainable().values())
    processes = f" in {distributed.count()} processes" if distributed.count() > 1 else ""
    say(
        f"{schedule.total} steps of {hyperparameters.batch_size}, {hyperparameters.precision} on "
        f"{accelerator().device.type}{processes}, {trainable:,} trainable parameters"
    )
    if hyperparameters.max_steps and schedule.total < hyperparameters.max_steps:
        say(
            f"training ends after {schedule.total} step{'s' * (schedule.total > 1)}, before max_steps "
            f"{hyperparameters.max_steps}: its epochs ({hyperparameters.epochs:g}) end first. "
            "To train longer, raise --epochs"
        )


def _attention(schedule: TrainingSchedule) -> list[list[float]]:
    """Returns AdapterFusion's mean attention to each adapter, per layer."""
    host, data = schedule.host, schedule.data[0]
    features = data.features[:ATTENTION_EXAMPLES]
    batch = to_device(data.kind.collate(features, host.tokenizer.pad_token_id))
    return [[round(float(share), 6) for share in layer] for layer in host.fusion_attention(batch)]
