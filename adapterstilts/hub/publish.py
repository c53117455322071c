"""Publishing a finished run on the Hugging Face Hub."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from huggingface_hub.utils import validate_repo_id

from adapterstilts.errors import AdapterError, ConfigError, unknown
from adapterstilts.hub.card import Form
from adapterstilts.hub.card_data import Facts, facts
from adapterstilts.hub.client import hub_errors
from adapterstilts.hub.folder import Export, write_folder
from adapterstilts.hub.merge_lora import check_out
from adapterstilts.hub.peft_export import export
from adapterstilts.hub.upload import Uploaded, upload
from adapterstilts.job import EvalJob
from adapterstilts.run.lineage import history
from adapterstilts.run.options import ModelOptions
from adapterstilts.run.resolve import trained_backbone
from adapterstilts.store import Run, Store
from adapterstilts.store.files import stats_in
from adapterstilts.store.scratch import scratch
from adapterstilts.values import Value


class Publishing(Value):
    """How a run is published.

    Attributes:
        format: whose files stand at the top of the repository: the `adapters` library's or PEFT's (LoRA).
        task: whose head goes along in PEFT's form, of a run that has several.
        backbone, backbone_revision: for PEFT's form, where the run's own backbone is now.
        private: of a repository that is made now.
        revision: the branch; None is the main one.
    """

    format: Literal["adapters", "peft"] = "adapters"
    task: str | None = None
    backbone: str | None = None
    backbone_revision: str | None = None
    private: bool = False
    revision: str | None = None


@dataclass(frozen=True)
class Written:
    """A folder ready to be uploaded.

    Attributes:
        card: the text of its README.md, metadata included.
        size: of all files, bytes.
    """

    run: str
    folder: Path
    card: str
    files: tuple[str, ...]
    size: int


def write(run: str, repo: str, folder: Path, store: Path, settings: Publishing | None = None) -> Written:
    """Writes the folder that `publish` uploads; nothing leaves this machine.

    Args:
        run: run id, unique prefix of one, or a run's folder.
        repo: the repository's name (`owner/name`), for the card.
        folder: to be made; it must not exist, or be empty.

    Raises:
        StoreError: no such run, or it is damaged.
        ConfigError: the folder is not empty, or the run is an evaluation.
        AdapterError: there is nothing to publish, or no such form of it.
    """
    settings = settings or Publishing()
    found = Store(store)
    told = _facts(found, found.find(run))
    check_out(folder)
    with hub_errors(repo):
        validate_repo_id(repo)
    form, export_peft = _form(told, settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch(folder.parent) as held:
        made = held / folder.name
        made.mkdir()
        card = write_folder(told, repo, made, form, export_peft)
        os.replace(made, folder)
    sizes = {name: info.st_size for name, info in stats_in(folder).items()}
    return Written(told.run.id, folder, card, tuple(sizes), sum(sizes.values()))


def publish(run: str, repo: str, store: Path, settings: Publishing | None = None) -> Uploaded:
    """Uploads a run with its card in one commit; makes the repository where it is not there.

    Publishing it again without a change makes no commit.

    Raises:
        HubError: see `hub.publish.upload`.
        StiltsError: as `write`.
    """
    settings = settings or Publishing()
    with scratch(Path(tempfile.gettempdir())) as held:
        made = write(run, repo, held / "published", store, settings)
        return upload(made.folder, repo, made.run, private=settings.private, revision=settings.revision)


def _facts(store: Store, run: Run) -> Facts:
    if isinstance(run.job, EvalJob):
        raise ConfigError(
            f"{run.id} is an evaluation: publish the run that it evaluates; its results come along"
        )
    if not any(run.path.glob("adapters/*/adapter.safetensors")):
        raise AdapterError(f"{run.id} is the bare backbone: there is no adapter to publish")
    return facts(run, history(store, run).credits, _evaluations(store))


def _evaluations(store: Store) -> Iterable[Run]:
    return (
        each for each in store.scan(quick=True) if isinstance(each, Run) and isinstance(each.job, EvalJob)
    )


def _form(told: Facts, settings: Publishing) -> tuple[Form, Export | None]:
    if settings.task and settings.task not in told.heads:
        raise unknown("head", settings.task, told.heads)
    if settings.format == "adapters":
        return Form(revision=settings.revision), None
    one = settings.task or next(iter(told.heads), None)
    head = told.heads[one] if one else None
    given = {"backbone": settings.backbone} if settings.backbone else {}
    files = trained_backbone(
        told.run, ModelOptions.parse({**given, "revision": settings.backbone_revision}, "option")
    )
    return Form("peft", head, settings.revision), partial(export, told.run, files, task=settings.task)
