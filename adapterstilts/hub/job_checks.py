"""Checks a pulled run's job against its files, because cards and reports repeat what the job states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterstilts.errors import HubError, StiltsError
from adapterstilts.hyperparameters import hyperparameters_for
from adapterstilts.job import TrainJob
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.kinds.registry import default_encoding, kind_of
from adapterstilts.model import adapters_config
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.saved import (
    SavedAdapter,
    SavedFusion,
    SavedHead,
    head_folder,
    read_active_adapters,
)
from adapterstilts.model.shapes import check_shapes
from adapterstilts.model.tensor_header import read_header
from adapterstilts.store.effect import KEY as EFFECT
from adapterstilts.store.origin import Ancestors, TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT, split_name
from adapterstilts.tasks.spec import Task

# Empty if there is no language adapter
FINGERPRINT = re.compile(r"(sha256:)?[0-9a-f]{64}|")
LANGUAGE = re.compile(r"[a-z]{2,3}")
LAYER_WEIGHT = re.compile(r"heads\.[^.]+\.(\d+)\.weight")
PUBLISHED = "published"  # key in the data of a job whose adapter another program trained
Problems = Iterator[str]


@dataclass(frozen=True)
class _PulledParts:
    """A pulled run's job and the folder with its files.

    Attributes:
        job: Job in `job.json`.
        folder: Folder of the files, laid out as in a run.
        tasks: Tasks that it was trained on, plain text included.
        ancestors: Training data of the runs that it was built on.
        metrics: Content of `metrics.json`.
        setup: Its active adapters.
        heads: Its heads by name.
    """

    job: TrainJob
    folder: Path
    tasks: tuple[Task, ...]
    ancestors: Ancestors
    metrics: Mapping[str, Any]
    setup: ActiveAdapters
    heads: Mapping[str, HeadSpec]

    @property
    def published(self) -> bool:
        """Whether another program trained it."""
        return self.job.data.keys() == {PUBLISHED}

    @property
    def trains(self) -> bool:
        """Whether adapterstilts trained it; otherwise it was averaged, or published by another program."""
        return not self.published and all(task.trained_on for task in self.tasks)


def check_job(repo: str, job: TrainJob, folder: Path, origin: TrainOrigin, metrics: Any) -> None:
    """Refuses a run whose job contradicts its files.

    Args:
        repo: Repository id, for messages.
        job: Job of the run.
        folder: Folder of the files, laid out as in a run.
        origin: Checked part of its `origin.json`, with the definitions of its tasks.
        metrics: Content of its `metrics.json`.

    Raises:
        HubError: The first contradiction between the job and the files.
    """
    try:
        setup, heads = read_active_adapters(folder)
        parts = _PulledParts(job, folder, _tasks(job, origin), origin.ancestors, metrics, setup, heads)
        checks = (_about_data, _about_settings, _about_setup, _about_adapters, _about_heads, _about_metrics)
        # Every check is lazy, so the first contradiction ends the reading of a hostile folder
        problem = next((problem for check in checks for problem in check(parts)), None)
    except StiltsError as error:
        problem = str(error).replace(f"{folder}/", "")
    if problem:
        raise HubError(f"{repo} is refused: {problem}"[:600])


def _tasks(job: TrainJob, origin: TrainOrigin) -> tuple[Task, ...]:
    definitions = origin.tasks
    return tuple(
        Task.parse(definitions[name], f"task {name}") if name in definitions else get_task(name)
        for name in split_name(job.task)
    )


def _about_data(parts: _PulledParts) -> Problems:
    """Checks the fingerprints of the data, and the languages of plain text."""
    job, several = parts.job, len(parts.tasks) > 1
    names = [f"{task.name}/" if several else "" for task in parts.tasks]
    splits = {f"{name}{split}" for name in names for split in ("train", "dev")}
    if not parts.published and not job.data.keys() <= splits:
        yield f"the data in its job is not a split of its task: {min(job.data.keys() - splits)[:80]!r}"
    if any(not FINGERPRINT.fullmatch(value) for value in (*job.data.values(), job.language_adapter or "")):
        yield "its job has a malformed fingerprint"
    text = any(task.name == TEXT for task in parts.tasks)
    if bool(job.languages) != (text and not parts.published):
        yield "its job must name languages if it trains on plain text, and only then"
    if any(not LANGUAGE.fullmatch(code) for code in job.languages):
        yield "its job has a malformed language code (expected one such as en)"


def _about_settings(parts: _PulledParts) -> Problems:
    """Checks the hyperparameters and the encoding."""
    job = parts.job
    if (job.hyperparameters is not None) != parts.trains:
        yield "its job must have hyperparameters if adapterstilts trained it, and only then"
    if job.hyperparameters is not None:
        values = job.hyperparameters.model_dump()
        if hyperparameters_for([task.kind for task in parts.tasks], values) != job.hyperparameters:
            yield "the hyperparameters in its job do not fit its tasks"
        # "auto" is resolved before a training, and the key must hold the result
        if job.hyperparameters.precision == "auto":
            yield "its job does not name the precision of the training"
    # torch.manual_seed fails outside of 64 bits
    if not 0 <= job.seed < 2**63:
        yield "the seed in its job is out of range"
    encodings = job.encoding if len(parts.tasks) > 1 else {parts.tasks[0].name: job.encoding}
    expected = {task.name for task in parts.tasks} if job.encoding else set()
    if (job.encoding and encodings.keys() != expected) or (not job.encoding and job.hyperparameters):
        yield "its job does not have one encoding for each of its tasks"
    for task in parts.tasks if job.encoding else ():
        settings = dict(encodings[task.name])
        if default_encoding(task.kind, settings).model_dump(mode="json") != settings:
            yield f"the encoding in its job is incomplete: {task.name}"


def _about_setup(parts: _PulledParts) -> Problems:
    """Checks the composition and the active adapters."""
    composition, setup = parts.job.composition, parts.setup
    if any(not re.fullmatch("[0-9a-f]{64}", key) for key in composition.sources):
        yield "its job names sources that are not keys of runs"
    # The leak guard relies on the ancestors, so a job must not hide its sources
    if not composition.sources and (parts.ancestors.files or parts.ancestors.unknown):
        yield "its origin names runs that it was built on, but its job names no sources"
    stacked = len(composition.sources) if composition.stacks else 0
    fused = len(composition.sources) if composition.fuses else 0
    if (len(setup.below), len(setup.fused), setup.target is None) != (stacked, fused, composition.fuses):
        yield (
            f"its composition is '{composition.kind}', but its setup has {len(setup.below)} adapters "
            f"below, {len(setup.fused)} fused ones and {'no' if setup.target is None else 'a'} target"
        )
    for name, key in zip((*setup.below, *setup.fused), composition.sources, strict=False):
        if not name.endswith(f"_{key[:8]}"):
            yield f"its adapter {name} is not the source {key[:8]} that its job names"
    if (setup.language is not None) != (parts.job.language_adapter is not None):
        yield "only one of its job and its setup names a language adapter"
    names = {*setup.stack, *setup.fused}
    # Unused files would be stored, and later verbs could load them
    unused = {path.name for path in (parts.folder / "adapters").glob("*")} - names
    if unused or (parts.folder / "fusion").exists() != composition.fuses:
        yield f"it has parts that its setup does not list: {', '.join([*sorted(unused), 'fusion'][:3])}"


def _about_adapters(parts: _PulledParts) -> Problems:
    """Checks every adapter's configuration against its record, its tensors and the job."""
    job, setup = parts.job, parts.setup
    if job.composition.fuses:
        if dict(job.adapter) != AdapterSpec.load().config:
            yield "its job names a trained adapter, but a fusion trains none"
        fusion = SavedFusion.read(parts.folder / "fusion" / SavedFusion.RECORD)
        if len(fusion.sources) != len(setup.fused) or fusion.backbone != job.backbone:
            yield "its fusion does not fit the adapters or the backbone of its job"
    elif AdapterSpec.fill(job.adapter) != dict(job.adapter):
        yield "the adapter configuration in its job is incomplete"
    for name in dict.fromkeys((*setup.stack, *setup.fused)):
        folder = parts.folder / "adapters" / name
        config = adapters_config.read_config(folder)
        spec = adapters_config.spec(config["config"], folder)
        if (folder / SavedAdapter.RECORD).is_file():
            record = SavedAdapter.read(folder / SavedAdapter.RECORD)
            yield from _about_record(record, spec, config, parts, name)
        elif name != setup.language:
            yield f"its adapter {name} has no record"


def _about_record(
    record: SavedAdapter, spec: AdapterSpec, config: Mapping[str, Any], parts: _PulledParts, name: str
) -> Problems:
    if record.backbone != parts.job.backbone:
        yield f"its adapter {name} belongs to another backbone than its job"
    if record.spec.config != spec.config:
        yield f"the record and the configuration of its adapter {name} differ"
    if (record.model_type, record.hidden_size) != (config.get("model_type"), config.get("hidden_size")):
        yield f"the record and the configuration of its adapter {name} name different encoders"
    if not (0 < record.hidden_size <= 2**16 and 0 < record.layers <= 1000):
        yield f"the record of its adapter {name} describes an impossible encoder"
    # Reading the header allocates nothing, unlike loading tensors of a forged size
    header = read_header(parts.folder / "adapters" / name / SavedAdapter.WEIGHTS, HubError)
    shapes = {tensor: entry.shape for tensor, entry in header.items()}
    check_shapes(shapes, spec, record.hidden_size, record.layers, f"its adapter {name}")
    if name == parts.setup.target and not _same_settings(dict(parts.job.adapter), spec.config, parts):
        yield f"the adapter in its job is {_short(parts.job.adapter)}, but it is {_short(spec.config)}"


def _same_settings(job: Mapping[str, Any], config: Mapping[str, Any], parts: _PulledParts) -> bool:
    """Whether an adapter has the settings in the job."""
    if job == config:
        return True
    if parts.job.composition.kind != "average" or config.get("architecture") != "lora":
        return False
    # The exact mean of several LoRA has the sum of their ranks
    counts = range(1, len(parts.job.composition.sources) + 1)
    return any(config == {**job, "r": count * job["r"], "alpha": count * job["alpha"]} for count in counts)


def _short(config: Mapping[str, Any]) -> str:
    """Describes an adapter by its main settings."""
    keys = ("architecture", "r", "alpha", "reduction_factor", "prefix_length", "non_linearity")
    return ", ".join(f"{key} {config[key]}" for key in keys if key in config)[:120] or "none"


def _about_heads(parts: _PulledParts) -> Problems:
    """Checks the heads against the tasks, their records and their tensors."""
    specs = {task.name: kind_of(task).head(task) for task in parts.tasks if task.name != TEXT}
    expected = {name: head for name, head in specs.items() if head}
    for name, head in parts.heads.items():
        if head != expected.get(name):
            yield f"its head {name} does not fit its task"
    if parts.heads.keys() != expected.keys() and not (parts.published and not parts.heads):
        yield f"it has heads for {', '.join(parts.heads) or 'nothing'}, its tasks are {parts.job.task}"
    if parts.setup.head != (next(iter(parts.heads)) if len(parts.heads) == 1 else None):
        yield "its setup and its heads do not fit"
    for name, head in parts.heads.items():
        folder = head_folder(parts.folder, name, parts.heads)
        record = SavedHead.read(folder / SavedHead.RECORD)
        if (record.kind, record.labels) != (head.kind, head.labels):
            yield f"the record of its head {name} and its setup differ"
        entries = read_header(folder / SavedHead.WEIGHTS, HubError)
        layers = {int(match[1]): entries[match[0]] for match in map(LAYER_WEIGHT.fullmatch, entries) if match}
        outputs = len(head.labels) or {"span": 2, "choice": 1}[head.kind]
        shape = layers[max(layers)].shape if layers else ()
        if shape != (outputs, record.hidden_size):
            yield f"its head {name} should have {outputs} outputs, but its weights have the shape {shape}"


def _about_metrics(parts: _PulledParts) -> Problems:
    """Checks the metrics of the training."""
    hyperparameters, metrics = parts.job.hyperparameters, parts.metrics
    if hyperparameters is None:
        if metrics.keys() - {EFFECT}:
            yield "its metrics describe a training, but its job has no hyperparameters"
        return
    steps, best = metrics.get("steps"), metrics.get("best_step", 0)
    if not isinstance(steps, int) or not 0 < steps < 2**53 or not 0 <= (best or 0) <= steps:
        yield "its metrics have no valid number of training steps"
    elif hyperparameters.max_steps is not None and steps > hyperparameters.max_steps:
        yield f"it was trained for {steps} steps, but its maximum is {hyperparameters.max_steps}"
    if ("fusion_attention" in metrics) != parts.job.composition.fuses:
        yield "its metrics belong to another composition than its job"
