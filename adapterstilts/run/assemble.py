"""Puts adapters, fusion and heads into a host: to train a composition, or to restore a finished run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from adapterstilts.data.item_digests import Digests
from adapterstilts.errors import AdapterError
from adapterstilts.job import TrainJob
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import adapters_config
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.host import Host
from adapterstilts.model.saved import ACTIVE_ADAPTERS, SavedAdapter, head_folder, read_active_adapters
from adapterstilts.run.training_data import TaskData
from adapterstilts.store import TrainOrigin, link

LANGUAGE = "language"  # name of the language adapter in every host


@dataclass(frozen=True)
class Source:
    """An adapter that a composition builds on.

    Attributes:
        key: Key of its run, or the digest of its folder's weight file.
        name: Name inside the host.
        folder: Folder with its files.
        spec: Its configuration.
    """

    key: str
    name: str
    folder: Path
    spec: AdapterSpec

    @staticmethod
    def of(key: str, task: str, folder: Path) -> Source:
        """Returns the adapter of a finished run, to build on.

        Raises:
            AdapterError: The run is a stack, a fusion or a bare backbone, not a single adapter.
        """
        adapters, _ = read_active_adapters(folder)
        if adapters.target is None or adapters.below:
            kind = "a fusion" if adapters.fused else "a stack" if adapters.below else "the bare backbone"
            raise AdapterError(
                f"{folder.name} is {kind}, not a single adapter: pass the runs that it was built from"
            )
        adapter = folder / "adapters" / adapters.target
        spec = spec_of(adapter)
        assert spec is not None
        return Source(key, f"{task.replace('+', '-')}_{key[:8]}", adapter, spec)


@dataclass(frozen=True)
class TrainingPlan:
    """A training job with everything that it needs.

    Attributes:
        job: The job, which determines the result.
        data: Data of each task, mixed-in text last; empty if the target has no training data.
        files: The backbone's files.
        spec: Configuration of the target adapter.
        sources: Adapters that the composition builds on.
        origin: Record of where rows, backbone and sources came from.
        language: Folder of the language adapter, or None.
        trained_items: Digests of the items that the sources were trained on.
    """

    job: TrainJob
    data: Sequence[TaskData]
    files: BackboneFiles
    spec: AdapterSpec
    sources: Sequence[Source]
    origin: TrainOrigin
    language: Path | None = None
    trained_items: Digests | None = None

    @property
    def mixed(self) -> bool:
        """Whether plain text is mixed in, beside tasks."""
        return len(self.data) > 1 and self.data[-1].task.kind_spec.plain_text

    @property
    def target(self) -> str | None:
        """Name of the target adapter in the host and in its folder; None for a bare backbone."""
        if not (self.job.hyperparameters or self.job.composition.start):
            return None
        names = [data.task.name for data in (self.data[:-1] if self.mixed else self.data)]
        return "multitask" if len(names) > 1 else names[0] if names else self.job.task

    @property
    def heads(self) -> dict[str, HeadSpec]:
        """Heads by task; empty if nothing is predicted (retrieval)."""
        heads = {data.task.name: data.kind.head(data.task) for data in self.data}
        return {name: head for name, head in heads.items() if head}


def build(host: Host, plan: TrainingPlan) -> ActiveAdapters:
    """Loads the sources, creates the new parts, and returns what to activate, with the first head."""
    names = tuple(source.name for source in plan.sources)
    for source in plan.sources:
        host.load_adapter(source.folder, source.name)
    if plan.language:
        host.load_adapter(plan.language, LANGUAGE)
    composition, target, seed = plan.job.composition, plan.target, plan.job.seed
    # The order matters: every new part draws its initial values from its own seeded generator, and a fusion
    # needs its adapters to be loaded.
    adapters = ActiveAdapters(language=LANGUAGE if plan.language else None, head=next(iter(plan.heads), None))
    if composition.fuses:
        host.add_fusion(names, seed)
        adapters = replace(adapters, fused=names)
    else:
        if target and composition.start:
            host.add_average(target, names, composition.start)
        elif target:
            host.add_adapter(target, plan.spec, seed)
        adapters = replace(adapters, below=names if composition.stacks else (), target=target)
    for name, head in plan.heads.items():
        host.add_head(name, head, seed)
    return adapters


def save(
    host: Host,
    adapters: ActiveAdapters,
    heads: Mapping[str, HeadSpec],
    folder: Path,
    frozen: Mapping[str, Path] | None = None,
) -> None:
    """Writes everything that `restore` needs.

    Args:
        host: The host with the trained parts.
        adapters: Arrangement of the adapters.
        heads: Heads by task. Heads that serve training only (masked subwords) are not saved.
        folder: Folder to write to.
        frozen: Folders of the adapters that did not train, by name; their files are linked, not copied.
    """
    if adapters.target is not None:
        host.save_adapter(adapters.target, folder / "adapters" / adapters.target)
    for name, source in (frozen or {}).items():
        for file in sorted(path for path in source.iterdir() if path.is_file()):
            link(file, folder / "adapters" / name / file.name)
    if adapters.fused:
        host.save_fusion(adapters.fused, folder / "fusion")
    saved = {name: head for name, head in heads.items() if not head.training_only}
    for name in saved:
        host.save_head(name, head_folder(folder, name, saved))
    # With several heads none is active by default: an evaluation chooses one.
    head = next(iter(saved)) if len(saved) == 1 else None
    record: dict[str, Any] = {
        "adapters": asdict(replace(adapters, head=head)),
        "heads": {name: asdict(spec) for name, spec in saved.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ACTIVE_ADAPTERS).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def restore(
    host: Host, folder: Path, language: Path | None = None, task: str | None = None
) -> ActiveAdapters:
    """Loads a finished run into the host and activates it for evaluation.

    Args:
        host: A host without adapters.
        folder: The run's folder.
        language: Folder of a language adapter that replaces the one from training.
        task: Task whose head to use, for a multi-task run.

    Raises:
        AdapterError: A language adapter was passed, but the run was trained without one.
    """
    adapters, heads = read_active_adapters(folder)
    adapters = replace(adapters, head=adapters.head or (task if task in heads else None))
    if language and not adapters.language:
        raise AdapterError(
            "this run was trained without a language adapter, so none can be exchanged: "
            "train it with --language-adapter first"
        )
    names = (*adapters.below, *adapters.fused, *filter(None, [adapters.language, adapters.target]))
    for name in dict.fromkeys(names):
        replaced = language if name == adapters.language else None
        host.load_adapter(replaced or folder / "adapters" / name, name)
    if adapters.fused:
        host.load_fusion(folder / "fusion", adapters.fused)
    if adapters.head:
        host.load_head(head_folder(folder, adapters.head, heads), adapters.head, heads[adapters.head])
    host.activate(adapters, train=False)
    return adapters


def spec_of(folder: Path | None) -> AdapterSpec | None:
    """Returns the configuration of a saved adapter, from this program or from the `adapters` library."""
    if folder is None:
        return None
    record = SavedAdapter.find(folder)
    if record:
        return record.spec
    return adapters_config.spec(adapters_config.read_config(folder)["config"], folder)
