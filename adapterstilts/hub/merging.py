"""Merging a finished LoRA run into its backbone."""

from __future__ import annotations

from pathlib import Path

from adapterstilts.errors import ConfigError
from adapterstilts.hub.merge_lora import Merged, check_out
from adapterstilts.hub.merge_lora import merge as write
from adapterstilts.job import EvalJob
from adapterstilts.run.options import ModelOptions
from adapterstilts.run.resolve import head_task, task_named, trained_backbone
from adapterstilts.store import Run, Store


def merge(run: str, out: Path, task: str | None = None, options: ModelOptions | None = None) -> Merged:
    """Folds a LoRA run into its backbone as an ordinary transformers checkpoint with equal logits.

    Args:
        run: run id, unique prefix of one, or a run's folder.
        out: a folder that is not there yet, or is empty; it is made whole or not at all.
        task: of a run of several tasks: whose head goes along.
        options: its store, and the backbone where that is not found under the name it was trained with.

    Raises:
        AdapterError: the run is not one LoRA adapter (with what works instead), damaged, or of another
            backbone than the one that is named.
        ConfigError: the folder is in use, the run is an evaluation, or it has no such head.
        StoreError: an unknown or damaged run, or the disk is full.
    """
    options = options or ModelOptions()
    check_out(out)
    found = Store(options.store).find(run)
    if isinstance(found.job, EvalJob):
        raise ConfigError(
            f"{found.id} is an evaluation: merge the run that it evaluates, {found.job.run[:12]}"
        )
    return write(found, trained_backbone(found, options), out, _head(found, task) if task else None)


def _head(run: Run, task: str) -> str | None:
    """The name of the head that answers a task."""
    answering = head_task(run, task_named(task, run))
    return answering.name if answering else None
