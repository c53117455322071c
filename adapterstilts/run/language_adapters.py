"""Finds language adapters (MAD-X): runs of `mlm`, adapters in folders, and adapters on the Hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants

from adapterstilts.errors import AdapterError, HubError
from adapterstilts.hub.download import cached, download
from adapterstilts.hub.layout import LIBRARY
from adapterstilts.hub.pulled_run import checked_job
from adapterstilts.model.language_adapter import WEIGHTS
from adapterstilts.paths import expanded
from adapterstilts.run.assemble import Source
from adapterstilts.run.options import ModelOptions
from adapterstilts.store import Run, Store
from adapterstilts.store.files import JOB
from adapterstilts.store.origin import TrainOrigin

HINT = "To use the rest without it, download it and pass the folder"


def language_adapter_reference(run: Run, options: ModelOptions) -> str | None:
    """Returns the requested language adapter, by default the run's own if it has one per language.

    None keeps the adapter that the run was trained with, in every language.
    """
    if options.language_adapter is not None or run.job.language_adapter is None:
        return options.language_adapter
    trained = TrainOrigin.require(run.path).language_adapter
    return trained if trained and "{lang}" in trained else None


def find_language_adapter(reference: str | None, language: str, store: Store) -> Path | None:
    """Returns the folder of the language adapter for a language.

    Args:
        reference: Run id, unique prefix (`single-mlm-{lang}-`) or folder of a run; a folder with an adapter;
            or a Hub id (`owner/name`, optionally with `@revision`). `{lang}` in it is replaced.
        language: Code of the language.
        store: The store to search for runs.

    Raises:
        StoreError: No run, or several runs, match.
        AdapterError: It was not found, has no safetensors weights, or needs adapters below itself.
    """
    if reference is None:
        return None
    name = reference.replace("{lang}", language)
    folder = expanded(name)
    if (folder / JOB).is_file() or (not folder.is_dir() and "/" not in name):
        run = store.find(str(folder) if folder.is_dir() else name)
        if run.training.language_adapter:
            raise AdapterError(f"{run.id} was trained on top of a language adapter and cannot be used as one")
        return Source.of(run.key, run.job.task, run.path).folder
    return _check_folder(folder if folder.is_dir() else _downloaded(name), name)


def _downloaded(name: str) -> Path:
    """Returns the folder of an adapter from the Hub that passed all checks of `pull`.

    Raises:
        AdapterError: The Hub does not have it, or it was trained on top of a language adapter.
        HubError: It fails a check.
    """
    try:
        # Without a connection the Hub client's cache is used; its files pass the same checks.
        pulled = cached(name) if constants.HF_HUB_OFFLINE else download(name, hint=HINT)
    except HubError as error:
        raise AdapterError(f"language adapter '{name}' is not a folder, and on the Hub: {error}") from None
    if pulled.record:
        job = checked_job(pulled)
        if job.language_adapter or job.composition.sources:
            raise AdapterError(f"{name} was built on other adapters, so it cannot be a language adapter")
    elif not {*LIBRARY[:2]} <= {*pulled.names}:
        raise AdapterError(
            f"{name} is not an adapter of the adapters library: it has no {' or '.join(LIBRARY[:2])}"
        )
    pulled.report_unread()
    return pulled.folder


def _check_folder(folder: Path, name: str) -> Path:
    """Returns the folder of a language adapter after checking that it has safetensors weights.

    Args:
        folder: Folder of the adapter.
        name: Reference that the user passed, for messages.

    Raises:
        AdapterError: It has none.
    """
    if not list(folder.glob(WEIGHTS)):
        raise AdapterError(f"{name} holds no safetensors weights, and no other format is loaded")
    return folder
