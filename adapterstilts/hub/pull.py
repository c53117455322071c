"""Pulls published adapters into the store, and searches for them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.hub.card import LISTED
from adapterstilts.hub.client import client, hub_errors
from adapterstilts.hub.download import Pulled, download
from adapterstilts.hub.layout import KEY
from adapterstilts.hub.pulled_run import assemble, read_job, run_files
from adapterstilts.hub.third_party import PullHints, third_party_run
from adapterstilts.job import TrainJob
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.run.progress import say
from adapterstilts.store import Run, Store
from adapterstilts.store.files import sha256


def pull(reference: str, store: Path, hints: PullHints | None = None, *, skip_others: bool = False) -> Run:
    """Downloads a published adapter into the store; returns it as a run that every verb accepts.

    Args:
        reference: Repository id `owner/name`, optionally with `@` and a branch, tag or commit.
        store: Folder of the store.
        hints: Expected backbone. Adapters that another program published require the task as well.
        skip_others: Whether to skip files that do not belong to an adapter, instead of refusing them.

    Raises:
        HubError: The repository does not exist, cannot be downloaded, or fails a check.
        AdapterError: The adapter is damaged, or belongs to another backbone.
        ConfigError: Another program published the adapter, and its task or backbone is not specified.
    """
    hints = hints or PullHints()
    pulled = download(reference, skip=skip_others)
    pulled.report_unread()
    if pulled.record is None:
        return third_party_run(pulled, Store(store), hints)
    job = read_job(pulled)
    if hints.task or hints.labels:
        raise ConfigError(
            f"the card of {pulled.repo} specifies its task ({job.task}) and labels: "
            "remove --task and --labels"
        )
    if hints.backbone and BackboneFiles.locate(hints.backbone, hints.revision).fingerprint != job.backbone:
        raise AdapterError(
            f"{pulled.repo} was trained on another backbone ({pulled.record.backbone.get('name')}) than "
            f"{hints.backbone}"
        )
    return _store_run(pulled, job, Store(store))


def _store_run(pulled: Pulled, job: TrainJob, store: Store) -> Run:
    files = run_files(pulled)
    with store.work(job) as work:
        if work.finished:
            same = all(
                _same_content(path, work.finished.path / name)
                for name, path in files.items()
                if name.endswith(".safetensors")
            )
            # Equal jobs on different hardware give different weights: the local run is never replaced
            say(f"{work.finished.id} is in the store already" + ("" if same else ", with different weights"))
            return work.finished
        out = work.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        try:
            return work.publish(assemble(pulled, job, files, out))
        except BaseException:
            # A training of the same job uses this folder, and must not pick up a refused file
            shutil.rmtree(out, ignore_errors=True)
            raise


def _same_content(path: Path, stored: Path) -> bool:
    return stored.is_file() and sha256(path) == sha256(stored)


@dataclass(frozen=True)
class SearchResult:
    """An adapter on the Hub.

    Attributes:
        repo: Repository id.
        backbone: Hub id of its base model, None if its card names none.
        tags: Tags of the repository.
        downloads: Downloads of the last month, None if unknown.
        ours: Whether adapterstilts published it.
    """

    repo: str
    backbone: str | None
    tags: tuple[str, ...]
    downloads: int | None
    ours: bool


def search(
    query: str, backbone: str | None = None, task: str | None = None, limit: int = 20
) -> list[SearchResult]:
    """Returns adapters on the Hub, in the order of the Hub.

    Args:
        query: Words of the repository's name.
        backbone: Backbone name (`adapterstilts backbones`) or Hub id.
        task: Task that the adapters must be tagged with.
        limit: Maximum number of adapters.

    Raises:
        HubError: The Hub cannot be reached.
    """
    base = NAMES[backbone].repo if backbone in NAMES else backbone
    filters = [*([f"base_model:{base}"] if base else []), *([task] if task else [])]
    results: dict[str, SearchResult] = {}
    with hub_errors(f"the search for '{query}'"):
        for tag in (LISTED, "peft"):
            for model in client().list_models(search=query or None, filter=[tag, *filters], limit=limit):
                tags = tuple(model.tags or ())
                # The Hub adds tags such as "base_model:adapter:owner/name" beside the plain one
                bases = [tag.split(":")[-1] for tag in tags if tag.startswith("base_model:")]
                results[model.id] = SearchResult(
                    model.id, bases[0] if bases else None, tags, model.downloads, KEY in tags
                )
    return list(results.values())[:limit]
