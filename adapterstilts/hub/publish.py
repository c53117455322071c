"""Publishes a finished run on the Hugging Face Hub."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi
from huggingface_hub.utils import validate_repo_id

from adapterstilts.credentials import masked
from adapterstilts.errors import AdapterError, ConfigError, HubError, unknown
from adapterstilts.hub.card import Form, card
from adapterstilts.hub.card_data import Facts, facts
from adapterstilts.hub.client import ERRORS, client, hub_errors
from adapterstilts.hub.layout import ATTRIBUTES, CARD, MALFORMED, OF_RUN, Record, as_pattern, repository_paths
from adapterstilts.hub.merge_lora import check_out
from adapterstilts.hub.peft_export import export
from adapterstilts.job import EvalJob
from adapterstilts.run.lineage import History
from adapterstilts.run.options import ModelOptions
from adapterstilts.run.resolve import trained_backbone
from adapterstilts.store import Run, Store, link
from adapterstilts.store.files import MANIFEST, ORIGIN, sha256, stats_in, write_whole
from adapterstilts.store.runs import Manifest
from adapterstilts.store.scratch import scratch
from adapterstilts.values import Value

MAIN = "main"


class Publishing(Value):
    """Settings of a publication.

    Attributes:
        format: Library that loads the repository: `adapters`, or PEFT (LoRA only).
        task: Multi-task runs in PEFT format: the task whose head to include.
        backbone, backbone_revision: Current location of the run's backbone, for PEFT format.
        private: Whether a new repository is private.
        revision: Branch to publish on; None is the main branch.
    """

    format: Literal["adapters", "peft"] = "adapters"
    task: str | None = None
    backbone: str | None = None
    backbone_revision: str | None = None
    private: bool = False
    revision: str | None = None


@dataclass(frozen=True)
class Written:
    """A folder that is ready for upload.

    Attributes:
        run: Run id.
        folder: Path of the folder.
        card: Text of README.md, metadata included.
        files: Paths of the files, relative to the folder.
        size: Size of all files, bytes.
    """

    run: str
    folder: Path
    card: str
    files: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Uploaded:
    """The result of an upload.

    Attributes:
        url: Address of the repository.
        commit: Commit that holds the folder.
        changed: Whether the upload created this commit.
        replaced: Id of another run that was published there before, or None.
    """

    url: str
    commit: str
    changed: bool
    replaced: str | None


def publish(run: str, repo: str, store: Path, settings: Publishing | None = None) -> Uploaded:
    """Uploads a run and its card in one commit; creates the repository if it does not exist.

    Publishing an unchanged run again creates no commit.

    Args:
        run: Run id, unique prefix, or folder of a run.
        repo: Repository id `owner/name`.
        store: Folder of the store.
        settings: Format, branch and visibility.

    Raises:
        HubError: The Hub cannot be reached or refuses the upload, the repository holds something other than
            an adapter of adapterstilts, or it changed during the upload.
        StiltsError: An error of `write`.
    """
    settings = settings or Publishing()
    with scratch(Path(tempfile.gettempdir())) as folder:
        written = write(run, repo, folder / "published", store, settings)
        return _upload(written.folder, repo, written.run, settings)


def write(run: str, repo: str, folder: Path, store: Path, settings: Publishing | None = None) -> Written:
    """Writes the folder that `publish` uploads; nothing leaves this machine.

    Args:
        run: Run id, unique prefix, or folder of a run.
        repo: Repository id `owner/name`, for the card.
        folder: Folder to create. It must not exist, or be empty.
        store: Folder of the store.
        settings: Format and branch.

    Raises:
        StoreError: The run does not exist, or is damaged.
        ConfigError: The folder is not empty, or the run is an evaluation.
        AdapterError: The run has no adapter, or cannot be written in this format.
    """
    settings = settings or Publishing()
    runs = Store(store)
    data = _facts(runs, runs.find(run))
    check_out(folder)
    with hub_errors(repo):
        validate_repo_id(repo)
    form, export_peft = _form(data, settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete, so that an interrupted run never leaves a partial folder to be uploaded
    with scratch(folder.parent) as temporary:
        content = temporary / folder.name
        content.mkdir()
        text = _write_folder(data, repo, content, form, export_peft)
        os.replace(content, folder)
    sizes = {name: info.st_size for name, info in stats_in(folder).items()}
    return Written(data.run.id, folder, text, tuple(sizes), sum(sizes.values()))


def _facts(store: Store, run: Run) -> Facts:
    if isinstance(run.job, EvalJob):
        raise ConfigError(
            f"{run.id} is an evaluation: publish the run that it evaluates; its results are included"
        )
    if not any(run.path.glob("adapters/*/adapter.safetensors")):
        raise AdapterError(f"{run.id} is the bare backbone: it has no adapter to publish")
    evaluations = (
        entry for entry in store.scan(quick=True) if isinstance(entry, Run) and isinstance(entry.job, EvalJob)
    )
    return facts(run, History.of(store, run).credits, evaluations)


def _form(data: Facts, settings: Publishing) -> tuple[Form, Callable[[Path], None] | None]:
    """Returns the form of the repository, and the function that writes PEFT's files."""
    if settings.task and settings.task not in data.heads:
        raise unknown("head", settings.task, data.heads)
    if settings.format == "adapters":
        return Form(revision=settings.revision), None
    name = settings.task or next(iter(data.heads), None)
    head = data.heads[name] if name else None
    backbone = {"backbone": settings.backbone} if settings.backbone else {}
    files = trained_backbone(
        data.run, ModelOptions.parse({**backbone, "revision": settings.backbone_revision}, "option")
    )
    return Form("peft", head, settings.revision), partial(export, data.run, files, task=settings.task)


def _write_folder(
    data: Facts, repo: str, folder: Path, form: Form, export_peft: Callable[[Path], None] | None
) -> str:
    """Writes all files and the card into an empty folder; returns the text of the card.

    The same run and evaluations give the same bytes on every machine.
    """
    with scratch(folder.parent) as temporary:
        run = temporary / "run"
        for name in stats_in(data.run.path):
            # Only listed files are published: a language adapter of another program may have more
            if name not in (MANIFEST, ORIGIN) and OF_RUN.fullmatch(name):
                link(data.run.path / name, run / name)
        # The published origin has no paths of this machine, so the manifest differs from the store's
        data.origin.write(run)
        manifest = json.dumps(Manifest.of(run), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        write_whole(run / MANIFEST, manifest.encode("utf-8"))
        for name, path in _card_paths(data, list(stats_in(run)), form).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            # A copy: with a hard link, editing the folder would change the store
            shutil.copyfile(run / name, folder / path)
    if export_peft:
        export_peft(folder)
    checksums = {name: sha256(folder / name) for name in stats_in(folder) if name != CARD}
    text = card(data, repo, form, checksums)
    write_whole(folder / CARD, text.encode("utf-8"))
    return text


def _upload(folder: Path, repo: str, run: str, settings: Publishing) -> Uploaded:
    """Uploads a folder in one commit with all files, or not at all.

    Files of the previous publication are deleted; files that the owner added remain.
    """
    branch = settings.revision or MAIN
    with hub_errors(repo, writing=True):
        api = client()
        url = api.create_repo(repo, private=settings.private, exist_ok=True)
        repo = url.repo_id
        info = api.repo_info(repo)
        # `exist_ok` ignores `private`: without this check a private run could become public
        if settings.private and not info.private:
            raise HubError(f"{repo} exists and is public: make it private on its page first")
        parent = info.sha
        if branch != MAIN:
            api.create_branch(repo, branch=branch, exist_ok=True)
            parent = api.repo_info(repo, revision=branch).sha
        previous = _published(api, repo, branch)
        obsolete = [as_pattern(name) for name in previous.sha256] if previous else None
        try:
            # The Hub refuses the commit (412) if somebody else committed after `parent`
            commit = api.upload_folder(
                repo_id=repo, folder_path=folder, revision=branch, parent_commit=parent,
                delete_patterns=obsolete, commit_message=f"Publish {run}",
            )  # fmt: skip
        except ValueError as error:
            if isinstance(error, ERRORS):
                raise
            # The client validates the card before it uploads anything
            raise HubError(f"{repo}: the Hub refused the card: {error}") from None
    replaced = previous.run if previous and previous.run != run else None
    return Uploaded(masked(str(url)), commit.oid, commit.oid != parent, replaced)


def _published(api: HfApi, repo: str, branch: str) -> Record | None:
    """Returns the record of the card in a repository, None if the repository is empty.

    Raises:
        HubError: The repository holds something else, which an upload would overwrite.
    """
    names = set(api.list_repo_files(repo, revision=branch)) - {ATTRIBUTES}
    if not names:
        return None
    record = None
    if CARD in names:
        path = Path(api.hf_hub_download(repo, CARD, revision=branch))
        with suppress(*MALFORMED):
            record = Record.read(path)
    if record is None:
        raise HubError(
            f"{repo} holds files that adapterstilts did not publish ({', '.join(sorted(names)[:3])} …), and "
            "publishing would overwrite them: choose another name"
        )
    return record


def _card_paths(facts: Facts, files: Sequence[str], form: Form) -> dict[str, str]:
    """Maps each path in the run to its path in the repository (see `layout`)."""
    # PEFT's files take the top, so a PEFT repository has the whole run under run/
    single = len(facts.adapters) == 1 and len(facts.heads) < 2 and form.name == "adapters"
    return repository_paths(files, at_top=single)
