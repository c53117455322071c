"""Which backbone a run belongs to: what it says of it, and how it is found again."""

from __future__ import annotations

from pathlib import Path

from adapterstilts.errors import AdapterError
from adapterstilts.model.backbone import BackboneFiles, locate
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.run.options import Options
from adapterstilts.store import Run
from adapterstilts.store.origin import BackboneOrigin, TrainOrigin
from adapterstilts.values import distinct


def backbone_origin(files: BackboneFiles) -> BackboneOrigin:
    """Returns the record of a backbone; the name of a local folder is its absolute path."""
    return BackboneOrigin(
        name=str(files.folder.resolve()) if Path(files.name).is_dir() else files.name,
        commit=files.commit,
        fingerprint=files.fingerprint,
        tokenizer=files.tokenizer,
    )


def backbone_of(run: Run, options: Options) -> BackboneFiles:
    """The backbone that was asked for, else the one the run was trained on.

    Raises:
        AdapterError: it is not the one the run was trained on, or that was a folder which is not here.
    """
    origin = TrainOrigin.require(run.path).backbone
    if "backbone" in options.model_fields_set:
        files = locate(options.backbone, options.revision)
    else:
        name = origin.name
        if origin.commit is None and name not in NAMES and not Path(name).is_dir():
            raise AdapterError(
                f"{run.id} was trained on a backbone in a folder, {name}, which is not here: "
                "name it with --backbone"
            )
        files = locate(name, options.revision or origin.commit)
    _check_unchanged(run, origin.name, files)
    if files.fingerprint != run.job.backbone:
        theirs, ours = distinct(run.job.backbone, files.fingerprint)
        raise AdapterError(
            f"{run.id} was trained on another backbone ({theirs}) than {files.name} ({ours}): "
            "pass that one with --backbone"
        )
    if origin.tokenizer not in (None, files.tokenizer):
        raise AdapterError(f"{run.id} was trained with another tokenizer than that of {files.name}")
    return files


def _check_unchanged(run: Run, name: str, files: BackboneFiles) -> None:
    """Refuses a folder whose files are no longer those that the run was trained on."""
    if files.fingerprint != run.job.backbone and name == str(files.folder.resolve()):
        raise AdapterError(
            f"{run.id} was trained on the backbone in {files.folder}, which has changed since: "
            f"{files.difference(run.job.backbone)}. Restore the files, or train the adapter again"
        )
