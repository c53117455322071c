"""Puts adapters, fusion and head into a host: to train a composition, or to restore a finished run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from adapterstilts.composition import Composition
from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import adapters_config
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.host import Host
from adapterstilts.model.saved import ACTIVE_ADAPTERS, SavedAdapter, head_folder, read_active_adapters
from adapterstilts.store import link

LANGUAGE = "language"  # the name that a language adapter has in every host


@dataclass(frozen=True)
class Source:
    """An adapter that a composition starts from.

    Attributes:
        key: of its run, or the digest of its folder's weight file.
        name: what it is called inside the host.
        folder: its files.
        spec: its configuration.
    """

    key: str
    name: str
    folder: Path
    spec: AdapterSpec


@dataclass(frozen=True)
class Parts:
    """What a composition is made of.

    Attributes:
        heads: by their names; none where nothing is predicted (retrieval), one for each of several tasks.
        language: folder of the frozen adapter below everything, or None.
        target: name of the adapter on top; None leaves the backbone as it is.
    """

    composition: Composition
    sources: Sequence[Source]
    spec: AdapterSpec
    heads: Mapping[str, HeadSpec]
    language: Path | None
    target: str | None
    seed: int

    @property
    def kept(self) -> dict[str, HeadSpec]:
        """The heads that are saved: that for masked subwords serves training alone."""
        return {name: head for name, head in self.heads.items() if not head.training_only}


def build(host: Host, parts: Parts) -> ActiveAdapters:
    """Loads the sources, makes what is new, and returns what is to be activated (with the first head)."""
    names = tuple(source.name for source in parts.sources)
    for source in parts.sources:
        host.load_adapter(source.folder, source.name)
    if parts.language:
        host.load_adapter(parts.language, LANGUAGE)
    setup = _compose(host, parts, names)
    for name, head in parts.heads.items():
        host.add_head(name, head, parts.seed)
    return setup


def _compose(host: Host, parts: Parts, names: tuple[str, ...]) -> ActiveAdapters:
    language = LANGUAGE if parts.language else None
    head = next(iter(parts.heads), None)
    if parts.composition.fuses:
        host.add_fusion(names, parts.seed)
        return ActiveAdapters(language=language, fused=names, head=head)
    if parts.target and parts.composition.start:
        host.add_average(parts.target, names, parts.composition.start)
    elif parts.target:
        host.add_adapter(parts.target, parts.spec, parts.seed)
    below = names if parts.composition.stacks else ()
    return ActiveAdapters(language=language, below=below, target=parts.target, head=head)


def save(host: Host, setup: ActiveAdapters, parts: Parts, folder: Path) -> None:
    """Writes all that `restore` needs; adapters that did not train are linked, not copied."""
    own = [] if setup.target is None else [setup.target]
    for name in own:
        host.save_adapter(name, folder / "adapters" / name)
    frozen = {
        source.name: source.folder for source in parts.sources if source.name in setup.below + setup.fused
    }
    if parts.language:
        frozen[LANGUAGE] = parts.language
    for name, source in frozen.items():
        for file in sorted(path for path in source.iterdir() if path.is_file()):
            link(file, folder / "adapters" / name / file.name)
    if setup.fused:
        host.save_fusion(setup.fused, folder / "fusion")
    for name in parts.kept:
        host.save_head(name, head_folder(folder, name, parts.kept))
    only = next(iter(parts.kept)) if len(parts.kept) == 1 else None
    heads = {name: asdict(head) for name, head in parts.kept.items()}
    described: dict[str, Any] = {"adapters": asdict(replace(setup, head=only)), "heads": heads}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ACTIVE_ADAPTERS).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def restore(
    host: Host, folder: Path, language: Path | None = None, task: str | None = None
) -> ActiveAdapters:
    """Loads a finished run into the host and activates it for evaluation.

    Args:
        language: language adapter to put in place of the one the run was trained with.
        task: whose head is wanted, of a run that has several.
    """
    setup, heads = read_active_adapters(folder)
    setup = replace(setup, head=setup.head or (task if task in heads else None))
    if language and not setup.language:
        raise AdapterError(
            "this run was trained without a language adapter, so none can be exchanged in: "
            "train it with --language-adapter first"
        )
    for name in dict.fromkeys((*setup.below, *setup.fused, *filter(None, [setup.language, setup.target]))):
        own = folder / "adapters" / name
        host.load_adapter(language if language and name == setup.language else own, name)
    if setup.fused:
        host.load_fusion(folder / "fusion", setup.fused)
    if setup.head:
        host.load_head(head_folder(folder, setup.head, heads), setup.head, heads[setup.head])
    host.activate(setup, train=False)
    return setup


def as_source(key: str, task: str, folder: Path) -> Source:
    """The adapter of a finished run, to build on.

    Raises:
        AdapterError: the run is a stack, a fusion or a bare backbone, not one adapter.
    """
    setup, _ = read_active_adapters(folder)
    if setup.target is None or setup.below:
        what = "a fusion" if setup.fused else "a stack" if setup.below else "the bare backbone"
        raise AdapterError(f"{folder.name} is {what}, not one adapter: give the runs it was made of")
    adapter = folder / "adapters" / setup.target
    spec = spec_of(adapter)
    assert spec is not None
    return Source(key, f"{task.replace('+', '-')}_{key[:8]}", adapter, spec)


def spec_of(folder: Path | None) -> AdapterSpec | None:
    """The configuration of a saved adapter, ours or one that the `adapters` library saved by itself."""
    if folder is None:
        return None
    record = SavedAdapter.find(folder)
    return (
        record.spec if record else adapters_config.spec(adapters_config.read_config(folder)["config"], folder)
    )
