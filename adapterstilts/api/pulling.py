"""Bringing published adapters into the store, and finding them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterstilts.api.foreign import Given, foreign_run
from adapterstilts.errors import AdapterError, ConfigError, HubError
from adapterstilts.hub.card import KEY, LISTED
from adapterstilts.hub.client import client, hub_errors
from adapterstilts.hub.layout import ORIGIN
from adapterstilts.hub.pull import Pulled, download, job_of, run_files
from adapterstilts.job import TrainJob
from adapterstilts.model.backbone import locate
from adapterstilts.model.names import NAMES
from adapterstilts.model.setup import read_setup
from adapterstilts.run.progress import say
from adapterstilts.store import Run, Store, link
from adapterstilts.store.files import JOB, MANIFEST, METRICS, sha256, write_whole
from adapterstilts.values import canonical


def pull(reference: str, store: Path, given: Given | None = None, *, skip_others: bool = False) -> Run:
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
    given = given or Given()
    pulled = download(reference, skip=skip_others)
    if pulled.record is None:
        return foreign_run(pulled, Store(store), given)
    job = job_of(pulled)
    _check_given(pulled, job, given)
    return _own_run(pulled, job, Store(store))


def _check_given(pulled: Pulled, job: TrainJob, given: Given) -> None:
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
            same = all(sha256(path) == sha256(work.finished.path / name) for name, path in _weights(files))
            say(f"{work.finished.id} is in the store already" + ("" if same else ", with weights of its own"))
            return work.finished
        out = work.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        try:
            _assemble(pulled, files, out)
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)  # nothing of it may stay for whoever trains this job
            raise
        return work.publish(_read(pulled, files[METRICS]))


def _weights(files: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    return ((name, path) for name, path in files.items() if name.endswith(".safetensors"))


def _assemble(pulled: Pulled, files: Mapping[str, Path], out: Path) -> None:
    for name, path in files.items():
        if name not in (JOB, METRICS, MANIFEST, ORIGIN):
            link(path, out / name)
    origin = _read(pulled, files[ORIGIN])
    told = {**origin, "pulled": {"repo": pulled.repo, "commit": pulled.commit}}
    write_whole(out / ORIGIN, (canonical(told) + "\n").encode("utf-8"))
    _check_parts(pulled, out)


def _check_parts(pulled: Pulled, out: Path) -> None:
    """Checks that every adapter and head of the setup is there."""
    try:
        setup, heads = read_setup(out)
    except (KeyError, TypeError, ValueError) as error:
        raise HubError(f"{pulled.repo} is refused: its setup.json is malformed ({error!r})") from None
    wanted = [f"adapters/{name}/adapter.safetensors" for name in (*setup.stack, *setup.fused)]
    wanted += ["fusion/model_adapter_fusion.safetensors"] if setup.fused else []
    wanted += [f"heads/{name}" if len(heads) > 1 else "head" for name in heads]
    for name in wanted:
        if not (out / name).exists():
            raise HubError(f"{pulled.repo} is refused: it lacks {name}")


def _read(pulled: Pulled, path: Path) -> dict[str, Any]:
    data = json.loads(path.read_bytes())
    if not isinstance(data, dict):
        raise HubError(f"{pulled.repo} is refused: {path.name} is not a JSON object")
    return data


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
    wanted = [LISTED, *([f"base_model:{base}"] if base else []), *([task] if task else [])]
    with hub_errors(f"the search for '{query}'"):
        models = client().list_models(search=query or None, filter=wanted, limit=limit)
        return [_found(model.id, tuple(model.tags or ()), model.downloads) for model in models]


def _found(repo: str, tags: tuple[str, ...], downloads: int | None) -> Found:
    bases = [tag.split(":")[-1] for tag in tags if tag.startswith("base_model:")]
    return Found(repo, bases[0] if bases else None, tags, downloads, KEY in tags)
