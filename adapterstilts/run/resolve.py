"""Finds what a run needs: the task and head that answer a target, and its backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.kinds.registry import default_encoding
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.model.saved import read_active_adapters
from adapterstilts.run.options import ModelOptions
from adapterstilts.store import Run
from adapterstilts.store.origin import BackboneOrigin, TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT
from adapterstilts.tasks.spec import Task
from adapterstilts.values import distinct


def task_named(name: str, run: Run) -> Task:
    """Returns the task of that name; a run's own custom tasks take precedence."""
    run_tasks = {task.name: task for task in run.tasks}
    return run_tasks[name] if name in run_tasks else get_task(name)


def head_task(run: Run, target: Task) -> Task | None:
    """Returns the run's task whose head answers the target; None if the target needs no head (retrieval).

    If several heads fit, it is the one that trains the target, else the first.

    Raises:
        ConfigError: The run has no such head.
    """
    if not target.kind_spec.needs_head:
        return None
    run_tasks = run.tasks
    candidates = [
        task
        for task in run_tasks
        if task.name != TEXT and (task.kind, task.labels) == (target.kind, target.labels)
    ]
    if not candidates:
        kinds = ", ".join(dict.fromkeys(task.kind for task in run_tasks))
        raise ConfigError(
            f"{run.id} was trained on {run.job.task} ({kinds}), which has no head for {target.name} "
            f"({target.kind}): transfer it first (adapterstilts sequential {target.name} {run.id})"
        )
    if not read_active_adapters(run.path)[1]:
        raise ConfigError(
            f"{run.id} has no head: build on it (adapterstilts sequential {target.name} {run.id}), "
            "or evaluate retrieval with it"
        )
    trainers = (target.name, target.trained_on, *target.then_trained_on)
    return next((task for task in candidates if task.name in trainers), candidates[0])


def trained_encoding(run: Run, target: Task) -> dict[str, Any]:
    """Returns the encoding settings that the target takes over from the run's training.

    They are those of the head that answers the target, or else of a task of its kind.
    """
    run_tasks = run.tasks
    same_kind = [task for task in run_tasks if task.kind == target.kind]
    if not same_kind:
        return {}
    encodings = run.job.encoding
    # A multi-task job, also one with mixed-in text, holds one encoding per task.
    if "+" in run.job.task or len(run_tasks) > 1:
        encodings = encodings[(head_task(run, target) or same_kind[0]).name]
    return default_encoding(target.kind, dict(encodings)).inherited()


def backbone_origin(files: BackboneFiles) -> BackboneOrigin:
    """Returns the record of a backbone; the name of a local folder is its absolute path."""
    return BackboneOrigin(
        name=str(files.folder.resolve()) if Path(files.name).is_dir() else files.name,
        commit=files.commit,
        fingerprint=files.fingerprint,
        tokenizer=files.tokenizer,
    )


def trained_backbone(run: Run, options: ModelOptions) -> BackboneFiles:
    """Returns the requested backbone, by default the one that the run was trained on.

    Raises:
        AdapterError: It is not the one that the run was trained on, or its folder is missing.
    """
    origin = TrainOrigin.require(run.path).backbone
    # A backbone that the user did not set is the option's default, which the run's own backbone replaces.
    if "backbone" in options.model_fields_set:
        files = BackboneFiles.locate(options.backbone, options.revision)
    else:
        if origin.commit is None and origin.name not in NAMES and not Path(origin.name).is_dir():
            raise AdapterError(
                f"{run.id} was trained on the backbone in the folder {origin.name}, which was not found: "
                "pass it with --backbone"
            )
        files = BackboneFiles.locate(origin.name, options.revision or origin.commit)
    if files.fingerprint != run.job.backbone:
        if origin.name == str(files.folder.resolve()):
            raise AdapterError(
                f"{run.id} was trained on the backbone in {files.folder}, which has changed since: "
                f"{files.difference(run.job.backbone)}. Restore the files, or retrain the adapter"
            )
        theirs, ours = distinct(run.job.backbone, files.fingerprint)
        raise AdapterError(
            f"{run.id} was trained on another backbone ({theirs}) than {files.name} ({ours}): "
            "pass that one with --backbone"
        )
    if origin.tokenizer not in (None, files.tokenizer):
        raise AdapterError(f"{run.id} was trained with another tokenizer than that of {files.name}")
    return files
