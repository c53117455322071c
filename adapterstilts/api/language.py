"""Language adapters: those that this toolkit trained (runs of `mlm`), and others in folders or on the Hub."""

from __future__ import annotations

from pathlib import Path

from adapterstilts.errors import AdapterError
from adapterstilts.model import language as adapters_of
from adapterstilts.run.assemble import as_source
from adapterstilts.store import Store
from adapterstilts.store.files import JOB


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
    folder = Path(name).expanduser()
    a_run = (folder / JOB).is_file() or (not folder.is_dir() and "/" not in name)
    if not a_run:
        return adapters_of.language_adapter(reference, language)
    run = store.find(str(folder) if folder.is_dir() else name)
    if run.job["language_adapter"]:
        raise AdapterError(f"{run.id} lies over a language adapter itself, so it cannot be one")
    return as_source(run.key, run.job["task"], run.path).folder
