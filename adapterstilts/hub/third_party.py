"""Adapters that another program published, as runs: the `adapters` library's and PEFT's LoRA."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from adapterstilts.composition import Single
from adapterstilts.errors import AdapterError, ConfigError, HubError
from adapterstilts.hub import peft_import
from adapterstilts.hub.download import Pulled
from adapterstilts.hub.layout import LIBRARY, PEFT
from adapterstilts.hub.lora_tensors import check_named
from adapterstilts.job import TrainJob
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.kinds.registry import encoding_for, kind_of
from adapterstilts.model import adapters_config, tensors
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles, locate
from adapterstilts.model.host import Host
from adapterstilts.run.assemble import save
from adapterstilts.run.effect import measure
from adapterstilts.run.host_cache import fresh_host
from adapterstilts.run.progress import say
from adapterstilts.run.resolve import backbone_origin
from adapterstilts.store import Run, Store, effect_lines
from adapterstilts.store.effect import KEY
from adapterstilts.store.files import sha256
from adapterstilts.store.origin import PulledFrom, TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task
from adapterstilts.values import Value, digest

SETTINGS = ("head_type", "layers", "activation_function", "use_pooler", "bias")  # of the library's heads


class PullHints(Value):
    """What only whoever pulls an adapter can say.

    Attributes:
        backbone, revision: the one it belongs to.
        task: what it was trained on, where no card of ours says it.
        labels: of its head, in the head's order, where the head does not name them.
    """

    backbone: str | None = None
    revision: str | None = None
    task: str | None = None
    labels: tuple[str, ...] = ()


def foreign_run(pulled: Pulled, store: Store, given: PullHints) -> Run:
    """The run of an adapter that another program published; its key has the digest of its files.

    Raises:
        ConfigError: the task is not given.
        AdapterError: it does not fit the backbone, or its method or a setting is not supported.
        HubError: it is not one adapter.
    """
    if not pulled.names:
        raise HubError(f"{pulled.repo} is empty")
    if given.task is None or given.backbone is None:
        raise ConfigError(
            f"{pulled.repo} was published by another program, which does not say what this one has to know: "
            "name the task that it was trained on with --task (adapterstilts tasks), and its backbone with "
            "--backbone"
        )
    task = get_task(given.task)
    if task.kind_spec.plain_text:
        raise ConfigError(
            f"a language adapter needs no run: --language-adapter {pulled.repo}@{pulled.commit} takes it"
        )
    files = locate(given.backbone, given.revision)
    host = fresh_host(files)
    theirs = _read(pulled, files, task.name)
    theirs.place(host)
    wanted = kind_of(task).head(task)
    try:
        head = _take_head(host, task.name, wanted, theirs, given.labels) if wanted and theirs.head else None
    except AdapterError as error:
        say(f"{pulled.repo}: taken without its head: {error}")
        head = None
        host.remove(task.name)  # what there is of the head too
        theirs.place(host)
    if wanted and not theirs.head:
        say(f"{pulled.repo}: there is no head{theirs.reason}: build on it, or evaluate retrieval with it")
    return _publish(host, pulled, store, task, given, head)


@dataclass(frozen=True)
class _Theirs:
    """An adapter of another program, read but not placed.

    Attributes:
        place: adds the adapter to a host.
        head: its tensors by their names inside the library's head, or None.
        kind: of the head, where that is told.
        labels: of the head, in the order of its rows, as far as it names them.
        settings: of the head in the library's words, as far as they are told.
        reason: why there is no head, in brackets, or nothing.
    """

    place: Callable[[Host], None]
    head: Mapping[str, torch.Tensor] | None
    kind: str | None = None
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def _read(pulled: Pulled, files: BackboneFiles, name: str) -> _Theirs:
    if PEFT[0] in pulled.names:
        return _read_peft(pulled.folder, files, name)
    if LIBRARY[0] in pulled.names:
        return _read_library(pulled, files, name)
    raise HubError(f"{pulled.repo} is refused: it has neither {LIBRARY[0]} nor {PEFT[0]}")


def _read_library(pulled: Pulled, files: BackboneFiles, name: str) -> _Theirs:
    """An adapter of the `adapters` library, and its head.

    Raises:
        AdapterError: it does not say which sizes its backbone has, or names another one.
    """
    told = adapters_config.read_config(pulled.folder)
    check_named(told.get("model_name"), files)
    lacking = [key for key in ("model_type", "hidden_size") if key not in told]
    if lacking:
        raise AdapterError(
            f"{pulled.repo}: its {adapters_config.CONFIG} does not say its backbone's {lacking[0]}"
        )
    place = partial(Host.load_adapter, folder=pulled.folder, name=name)
    if not {*LIBRARY[2:]} <= {*pulled.names}:
        return _Theirs(place, None)
    weights, config = (pulled.folder / file for file in LIBRARY[2:])
    try:
        settings = json.loads(config.read_bytes())["config"]
        numbers = settings.get("label2id") or {}
        labels = tuple(str(label) for label in sorted(numbers, key=numbers.__getitem__))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise HubError(f"{pulled.repo} is refused: {LIBRARY[3]} is malformed") from None
    state = {re.sub(r"^heads\.[^.]+\.", "", key): value for key, value in tensors.load(weights, None).items()}
    return _Theirs(place, state, labels=labels, settings=settings)


def _read_peft(folder: Path, files: BackboneFiles, name: str) -> _Theirs:
    """A LoRA that PEFT saved, and its head, whose labels PEFT does not name."""
    found = peft_import.read(folder, files)
    place = partial(Host.place_adapter, name=name, spec=found.spec, weights=found.weights)
    reason = f" ({found.headless})" if found.headless else ""
    if found.head is None:
        return _Theirs(place, None, reason=reason)
    return _Theirs(place, found.head_weights, kind=found.head.kind)


def _take_head(host: Host, name: str, wanted: HeadSpec, theirs: _Theirs, labels: Sequence[str]) -> HeadSpec:
    """Adds the head that the task wants with their weights, the last layer's rows in our labels' order.

    Raises:
        AdapterError: it is another kind of head, or of other labels.
    """
    assert theirs.head is not None
    if theirs.kind not in (None, wanted.kind):
        raise AdapterError(f"it is one for {theirs.kind}, where one for {wanted.kind} is wanted")
    order = _order(wanted.labels, labels or theirs.labels) if wanted.labels else []
    last = max(theirs.head).partition(".")[0]  # the layers' places in the head: "1.weight", "4.weight"
    state = {
        key: value[order] if order and key.startswith(f"{last}.") and len(value) == len(order) else value
        for key, value in theirs.head.items()
    }
    host.place_head(name, wanted, state)
    mine = host.model.heads[name].config
    for key in SETTINGS:
        if theirs.settings.get(key, mine.get(key)) != mine.get(key):
            raise AdapterError(f"its {key} is {theirs.settings[key]}, where {mine.get(key)} is wanted")
    return wanted


def _order(wanted: Sequence[str], given: Sequence[str]) -> list[int]:
    """For each of our labels the row of the head that is about it; case does not count.

    Raises:
        AdapterError: the labels are others.
    """
    places = {label.casefold(): row for row, label in enumerate(given)}
    if sorted(places) != sorted(label.casefold() for label in wanted) or len(given) != len(wanted):
        raise AdapterError(
            f"its labels are {_listed(given)}, the task's are {_listed(wanted)}: pass its labels in its own "
            "order with --labels"
        )
    return [places[label.casefold()] for label in wanted]


def _listed(labels: Sequence[str]) -> str:
    return f"{', '.join(labels)} ({len(labels)})" if labels else "not named"


def _publish(
    host: Host, pulled: Pulled, store: Store, task: Task, given: PullHints, head: HeadSpec | None
) -> Run:
    spec, files = host.adapter_spec(task.name), host.files
    weights = {name: sha256(pulled.folder / name) for name in pulled.names if name.endswith(".safetensors")}
    job = TrainJob(
        task=task.name,
        task_version=task.version,
        backbone=files.fingerprint,
        data={"published": digest([weights, head.labels if head else None, given.labels])},
        adapter=dict(spec.config),
        hyperparameters=None,
        encoding=encoding_for(task, "en", {}).model_dump(mode="json"),
        composition=Single(),
        seed=0,
    )
    heads = {task.name: head} if head else {}
    setup = ActiveAdapters(target=task.name, head=task.name if head else None)
    source = PulledFrom(repo=pulled.repo, commit=pulled.commit)
    origin = TrainOrigin(backbone=backbone_origin(files), pulled=source)
    with store.work(job) as work:
        if work.finished:
            say(f"{work.finished.id} is in the store already")
            return work.finished
        out = work.folder / "out"
        save(host, setup, heads, out)
        origin.write(out)
        run = work.publish({KEY: measure(host, setup)})
        for line in effect_lines(run):
            say(line)
        return run
