"""Bringing published adapters into the store, and finding them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from adapterstilts.data.item_digests import read_items
from adapterstilts.errors import AdapterError, ConfigError, HubError, StoreError
from adapterstilts.hub.card import LISTED
from adapterstilts.hub.client import client, hub_errors
from adapterstilts.hub.download import Pulled, download, job_of, read_object, run_files
from adapterstilts.hub.job_parts import check_job
from adapterstilts.hub.layout import KEY
from adapterstilts.hub.origin import checked_origin
from adapterstilts.hub.record import MALFORMED
from adapterstilts.hub.third_party import PullHints, foreign_run
from adapterstilts.job import TrainJob
from adapterstilts.model.backbone import locate
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.model.saved import head_folder, read_active_adapters
from adapterstilts.run.progress import say
from adapterstilts.store import Run, Store, link
from adapterstilts.store.files import JOB, MANIFEST, METRICS, ORIGIN, sha256
from adapterstilts.store.metrics import check_metrics
from adapterstilts.store.scratch import scratch
from adapterstilts.tasks.multitask import split_name
from adapterstilts.tasks.registry import all_tasks


def pull(reference: str, store: Path, given: PullHints | None = None, *, skip_others: bool = False) -> Run:
    """Puts a published adapter into the store as a run that every verb takes.

    Args:
        reference: `owner/name`, with `@` and a branch, tag or commit where that is wanted.
        given: the backbone it must belong to; of an adapter that another program published also the task.
        skip_others: leave files that no adapter consists of unread, instead of refusing the repository.

    Raises:
        HubError: it is not there, cannot be had, or fails a check.
        AdapterError: it is damaged, or of another backbone.
        ConfigError: of an adapter that another program published, the task is not given.
    """
    given = given or PullHints()
    pulled = download(reference, skip=skip_others)
    say_unread(pulled)
    if pulled.record is None:
        return foreign_run(pulled, Store(store), given)
    job = _job(pulled)
    _check_given(pulled, job, given)
    return _own_run(pulled, job, Store(store))


def say_unread(pulled: Pulled) -> None:
    """Says which keys of its configurations nothing reads."""
    if pulled.unread:
        say(
            f"{pulled.repo}: unknown settings without meaning here were ignored: {', '.join(pulled.unread)}"[
                :500
            ]
        )


def checked_job(pulled: Pulled) -> TrainJob:
    """The job of a repository that this toolkit published, after all checks of `pull`; nothing is stored.

    Raises:
        HubError: it fails a check.
    """
    job = _job(pulled)
    with scratch(Path(tempfile.gettempdir())) as folder:
        _assembled(pulled, job, run_files(pulled), folder / "out")
    return job


def _job(pulled: Pulled) -> TrainJob:
    try:
        return job_of(pulled)
    except MALFORMED as error:
        raise HubError(f"{pulled.repo} is refused: {type(error).__name__}: {error}"[:400]) from None


def _check_given(pulled: Pulled, job: TrainJob, given: PullHints) -> None:
    if given.task or given.labels:
        raise ConfigError(
            f"{pulled.repo} says itself that it is of {job.task}: leave --task and --labels out"
        )
    if given.backbone and locate(given.backbone, given.revision).fingerprint != job.backbone:
        assert pulled.record is not None
        raise AdapterError(
            f"{pulled.repo} was trained on another backbone ({pulled.record.backbone.get('name')}) than "
            f"{given.backbone}"
        )


def _own_run(pulled: Pulled, job: TrainJob, store: Store) -> Run:
    files = run_files(pulled)
    with store.work(job) as work:
        if work.finished:
            same = all(_same(path, work.finished.path / name) for name, path in _weights(files))
            say(f"{work.finished.id} is in the store already" + ("" if same else ", with weights of its own"))
            return work.finished
        out = work.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        try:
            return work.publish(_assembled(pulled, job, files, out))
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)  # nothing of it may stay for whoever trains this job
            raise


def _assembled(pulled: Pulled, job: TrainJob, files: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """As `_assemble`, with every error that malformed files can raise as a refusal."""
    try:
        return _assemble(pulled, job, files, out)
    except (*MALFORMED, AdapterError) as error:
        told = f"{type(error).__name__}: {error}".replace(f"{out}/", "")
        raise HubError(f"{pulled.repo} is refused: {told}"[:600]) from None


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and sha256(one) == sha256(other)


def _weights(files: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    return ((name, path) for name, path in files.items() if name.endswith(".safetensors"))


def _assemble(pulled: Pulled, job: TrainJob, files: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """Puts the run's files together, with as much of its origin as was understood; returns its metrics."""
    for name, path in files.items():
        if name not in (JOB, METRICS, MANIFEST, ORIGIN):
            link(path, out / name)
    assert pulled.record is not None
    origin = checked_origin(pulled, read_object(pulled, files[ORIGIN]))
    if any(path.startswith("adapters/language/") for path in files):
        say(f"{pulled.repo} lies over a language adapter: others are exchanged with --language-adapter")
    for name in split_name(job.task):
        if name not in origin.tasks and name not in all_tasks():
            raise HubError(f"{pulled.repo} is refused: nothing says what its task {name} is")
    origin.write(out)
    metrics = {name: numbers(value) for name, value in read_object(pulled, files[METRICS]).items()}
    try:
        check_metrics(metrics)
    except StoreError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None
    _check_parts(pulled, out)
    check_job(pulled.repo, job, out, origin, metrics)
    return metrics


def _check_parts(pulled: Pulled, out: Path) -> None:
    """Checks that every adapter and head of the setup is there, and that the hashes of items can be read."""
    setup, heads = read_active_adapters(out)
    wanted = [
        f"adapters/{name}/{file}"
        for name in (*setup.stack, *setup.fused)
        for file in ("adapter.safetensors", "adapter_config.json", "adapter.json")
        if (name, file) != (setup.language, "adapter.json")  # which may be of another program
    ]
    wanted += ["fusion/model_adapter_fusion.safetensors", "fusion/fusion.json"] if setup.fused else []
    wanted += [str(head_folder(Path(), name, heads) / "head.json") for name in heads]
    if setup.head is not None and setup.head not in heads:
        raise HubError(f"{pulled.repo} is refused: its setup names a head that it does not describe")
    for name in wanted:
        if not (out / name).is_file():
            raise HubError(f"{pulled.repo} is refused: it lacks {name}")
    read_items(out)


def numbers(value: Any) -> Any:
    """The value, if all that it holds are numbers.

    Raises:
        TypeError: it holds something else.
        ValueError: a number is not finite.
    """
    if isinstance(value, Mapping):
        return {str(name): numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [numbers(each) for each in value]
    if not isinstance(value, int | float | None):
        raise TypeError(f"metrics.json holds {type(value).__name__}")
    if value is not None and not isfinite(value):
        raise ValueError("metrics.json holds NaN or infinity")
    return value


@dataclass(frozen=True)
class Found:
    """A repository of an adapter.

    Attributes:
        backbone: Hub id of its base model, None where its card names none.
        ours: whether this toolkit published it.
    """

    repo: str
    backbone: str | None
    tags: tuple[str, ...]
    downloads: int | None
    ours: bool


def search(query: str, backbone: str | None = None, task: str | None = None, limit: int = 20) -> list[Found]:
    """Adapters on the Hub, as the Hub ranks them.

    Args:
        query: words of the repository's name.
        backbone: a name (`adapterstilts backbones`) or Hub id.
        task: only those tagged with it.

    Raises:
        HubError: the Hub cannot be asked.
    """
    base = NAMES[backbone].repo if backbone in NAMES else backbone
    wanted = [*([f"base_model:{base}"] if base else []), *([task] if task else [])]
    found: dict[str, Found] = {}
    with hub_errors(f"the search for '{query}'"):
        for tag in (LISTED, "peft"):
            for model in client().list_models(search=query or None, filter=[tag, *wanted], limit=limit):
                found[model.id] = _found(model.id, tuple(model.tags or ()), model.downloads)
    return list(found.values())[:limit]


def _found(repo: str, tags: tuple[str, ...], downloads: int | None) -> Found:
    bases = [tag.split(":")[-1] for tag in tags if tag.startswith("base_model:")]
    return Found(repo, bases[0] if bases else None, tags, downloads, KEY in tags)
