"""Language adapters: those that this toolkit trained (runs of `mlm`), and others in folders or on the Hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants

from adapterstilts.errors import AdapterError, HubError
from adapterstilts.hub.download import cached, download
from adapterstilts.hub.layout import LIBRARY
from adapterstilts.hub.pulled_run import checked_job
from adapterstilts.model.language_adapter import check_folder
from adapterstilts.paths import expanded
from adapterstilts.run.assemble import as_source
from adapterstilts.store import Run, Store
from adapterstilts.store.files import JOB

HINT = "To use the rest without it, download it and pass the folder"


def language_adapter(reference: str | None, language: str, store: Store) -> Path | None:
    """The folder of the adapter that `reference` names for a language.

    Args:
        reference: a run's id, a unique prefix of one (`single-mlm-{lang}-`) or its folder; else a folder with
            an adapter, or a Hub id (`owner/name`, with `@revision` if wanted). `{lang}` in it is replaced.

    Raises:
        StoreError: no run, or several, of that name.
        AdapterError: it is not there, holds no safetensors weights, or needs adapters below itself.
    """
    if reference is None:
        return None
    name = reference.replace("{lang}", language)
    folder = expanded(name)
    if (folder / JOB).is_file() or (not folder.is_dir() and "/" not in name):
        return _of_run(store.find(str(folder) if folder.is_dir() else name))
    return check_folder(folder if folder.is_dir() else _downloaded(name), name)


def _of_run(run: Run) -> Path:
    if run.training.language_adapter:
        raise AdapterError(f"{run.id} lies over a language adapter itself, so it cannot be one")
    return as_source(run.key, run.job.task, run.path).folder


def _downloaded(name: str) -> Path:
    """The folder of an adapter from the Hub, which passed all checks of `pull`.

    Without a connection the Hub client's cache is used; what it holds is checked too.

    Raises:
        AdapterError: the Hub does not have it, or it lies over a language adapter itself.
        HubError: it fails a check.
    """
    try:
        pulled = cached(name) if constants.HF_HUB_OFFLINE else download(name, hint=HINT)
    except HubError as error:
        raise AdapterError(f"language adapter '{name}' is no folder, and from the Hub: {error}") from None
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
