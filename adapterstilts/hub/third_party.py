"""Converts adapters that another program published into runs: the `adapters` library's and PEFT's LoRA."""

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
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.host import Host
from adapterstilts.run.assemble import save
from adapterstilts.run.effect import measure
from adapterstilts.run.host_cache import fresh_host
from adapterstilts.run.progress import say
from adapterstilts.run.resolve import backbone_origin
from adapterstilts.store import Effect, Run, Store
from adapterstilts.store.effect import KEY
from adapterstilts.store.files import sha256
from adapterstilts.store.origin import PulledFrom, TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task
from adapterstilts.values import Value, digest

# Settings of the library's heads that decide the predictions, beside the tensors
SETTINGS = ("head_type", "layers", "activation_function", "use_pooler", "bias")


class PullHints(Value):
    """Information about an adapter that its repository may lack.

    Attributes:
        backbone: Backbone that the adapter belongs to: name, Hub id or folder.
        revision: Commit or tag of this backbone.
        task: Task that the adapter was trained on, if another program published it.
        labels: Labels of its head, in the head's order, if the head does not list them.
    """

    backbone: str | None = None
    revision: str | None = None
    task: str | None = None
    labels: tuple[str, ...] = ()


def third_party_run(pulled: Pulled, store: Store, hints: PullHints) -> Run:
    """Stores an adapter that another program published; the key of the run has the digest of its files.

    Raises:
        ConfigError: The task or the backbone is not specified.
        AdapterError: The adapter does not fit the backbone, or its method or a setting is not supported.
        HubError: The repository is not one adapter.
    """
    if not pulled.names:
        raise HubError(f"{pulled.repo} is empty")
    if hints.task is None or hints.backbone is None:
        raise ConfigError(
            f"{pulled.repo} was not published by adapterstilts, so its task and backbone are unknown: pass "
            "--task (see adapterstilts tasks) and --backbone"
        )
    task = get_task(hints.task)
    if task.kind_spec.plain_text:
        raise ConfigError(
            f"a language adapter does not have to be pulled: pass --language-adapter "
            f"{pulled.repo}@{pulled.commit}"
        )
    files = BackboneFiles.locate(hints.backbone, hints.revision)
    host = fresh_host(files)
    adapter = _read(pulled, files, task.name)
    adapter.place(host)
    expected = kind_of(task).head(task)
    head = None
    try:
        if expected and adapter.head:
            head = _place_head(host, task.name, expected, adapter, hints.labels)
    except AdapterError as error:
        say(f"{pulled.repo}: pulled without its head: {error}")
        # Removes the partly placed head, and with it the adapter of the same name, which is placed anew
        host.remove(task.name)
        adapter.place(host)
    if expected and not adapter.head:
        say(f"{pulled.repo} has no head{adapter.reason}: train on top of it, or evaluate it on retrieval")
    return _store_run(host, pulled, store, task, hints, head)


@dataclass(frozen=True)
class _ThirdPartyAdapter:
    """An adapter of another program, read but not placed.

    Attributes:
        place: Function that adds the adapter to a host.
        head: Tensors of the head by their names inside the library's head, or None.
        kind: Kind of the head, None if unknown.
        labels: Labels of the head in the order of its rows, empty if unknown.
        settings: Known settings of the head, in the library's terms.
        reason: Reason why there is no head, in brackets, or "".
    """

    place: Callable[[Host], None]
    head: Mapping[str, torch.Tensor] | None
    kind: str | None = None
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def _read(pulled: Pulled, files: BackboneFiles, name: str) -> _ThirdPartyAdapter:
    # PEFT first: both libraries call their configuration adapter_config.json
    if PEFT[0] in pulled.names:
        return _read_peft(pulled.folder, files, name)
    if LIBRARY[0] in pulled.names:
        return _read_library(pulled, files, name)
    raise HubError(f"{pulled.repo} is refused: it has neither {LIBRARY[0]} nor {PEFT[0]}")


def _read_library(pulled: Pulled, files: BackboneFiles, name: str) -> _ThirdPartyAdapter:
    """Reads an adapter of the `adapters` library, and its head.

    Raises:
        AdapterError: The configuration lacks the size of the backbone, or names another backbone.
    """
    config = adapters_config.read_config(pulled.folder)
    check_named(config.get("model_name"), files)
    missing = [key for key in ("model_type", "hidden_size") if key not in config]
    if missing:
        raise AdapterError(f"{pulled.repo}: its {adapters_config.CONFIG} lacks the backbone's {missing[0]}")
    place = partial(Host.load_adapter, folder=pulled.folder, name=name)
    if not {*LIBRARY[2:]} <= {*pulled.names}:
        return _ThirdPartyAdapter(place, None)
    weights, head_config = (pulled.folder / file for file in LIBRARY[2:])
    try:
        settings = json.loads(head_config.read_bytes())["config"]
        numbers = settings.get("label2id") or {}
        labels = tuple(str(label) for label in sorted(numbers, key=numbers.__getitem__))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise HubError(f"{pulled.repo} is refused: {LIBRARY[3]} is malformed") from None
    state = {re.sub(r"^heads\.[^.]+\.", "", key): value for key, value in tensors.load(weights, None).items()}
    return _ThirdPartyAdapter(place, state, labels=labels, settings=settings)


def _read_peft(folder: Path, files: BackboneFiles, name: str) -> _ThirdPartyAdapter:
    """Reads a LoRA that PEFT saved, and its head, whose labels PEFT does not store."""
    lora = peft_import.read(folder, files)
    place = partial(Host.place_adapter, name=name, spec=lora.spec, weights=lora.weights)
    reason = f" ({lora.headless})" if lora.headless else ""
    if lora.head is None:
        return _ThirdPartyAdapter(place, None, reason=reason)
    return _ThirdPartyAdapter(place, lora.head_weights, kind=lora.head.kind)


def _place_head(
    host: Host, name: str, expected: HeadSpec, adapter: _ThirdPartyAdapter, labels: Sequence[str]
) -> HeadSpec:
    """Adds the task's head with the adapter's weights, its last layer sorted into our order of labels.

    Raises:
        AdapterError: The head is of another kind, or has other labels.
    """
    assert adapter.head is not None
    if adapter.kind not in (None, expected.kind):
        raise AdapterError(f"its head is for {adapter.kind}, but the task requires one for {expected.kind}")
    order = _label_order(expected.labels, labels or adapter.labels) if expected.labels else []
    # Names begin with the layer's position in the head: "1.weight", "4.weight"
    output_layer = max(adapter.head).partition(".")[0]
    state = {
        key: value[order]
        if order and key.startswith(f"{output_layer}.") and len(value) == len(order)
        else value
        for key, value in adapter.head.items()
    }
    host.place_head(name, expected, state)
    # Equal shapes are not enough: with another activation the same weights give other predictions
    config = host.model.heads[name].config
    for key in SETTINGS:
        if adapter.settings.get(key, config.get(key)) != config.get(key):
            raise AdapterError(
                f"the {key} of its head is {adapter.settings[key]}, but the task requires {config.get(key)}"
            )
    return expected


def _label_order(expected: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Returns for each of the task's labels its row in the head; case is ignored.

    Raises:
        AdapterError: The labels are not the task's.
    """
    rows = {label.casefold(): row for row, label in enumerate(labels)}
    if sorted(rows) != sorted(label.casefold() for label in expected) or len(labels) != len(expected):
        raise AdapterError(
            f"its labels are {_label_list(labels)}, the task's are {_label_list(expected)}: pass the head's "
            "labels in the head's order with --labels"
        )
    return [rows[label.casefold()] for label in expected]


def _label_list(labels: Sequence[str]) -> str:
    return f"{', '.join(labels)} ({len(labels)})" if labels else "unknown"


def _store_run(
    host: Host, pulled: Pulled, store: Store, task: Task, hints: PullHints, head: HeadSpec | None
) -> Run:
    spec, files = host.adapter_spec(task.name), host.files
    weights = {name: sha256(pulled.folder / name) for name in pulled.names if name.endswith(".safetensors")}
    job = TrainJob(
        task=task.name,
        task_version=task.version,
        backbone=files.fingerprint,
        # Another order of labels gives other predictions of the same files, so it is part of the key
        data={"published": digest([weights, head.labels if head else None, hints.labels])},
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
        for line in Effect.lines_of(run):
            say(line)
        return run
