"""Merges a LoRA run into its backbone: an ordinary transformers checkpoint with the same logits."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModel

from adapterstilts.errors import AdapterError, ConfigError, StoreError
from adapterstilts.hub.lora_tensors import Form, OneLora, linear_layers
from adapterstilts.job import EvalJob
from adapterstilts.model import encoder
from adapterstilts.model.backbone import ALLOWED, WEIGHTS, BackboneFiles
from adapterstilts.model.tensors import Tensors
from adapterstilts.run.options import ModelOptions
from adapterstilts.run.resolve import head_task, task_named, trained_backbone
from adapterstilts.store import Run, Store
from adapterstilts.store.files import is_full, sync
from adapterstilts.store.scratch import scratch

CONFIG = "config.json"
DEFAULT_LABELS = ("LABEL_0", "LABEL_1")  # default of transformers, which a span head keeps


@dataclass(frozen=True)
class Merged:
    """A merged checkpoint.

    Attributes:
        run: Run id.
        folder: Path of the checkpoint.
        auto: Auto class of transformers that loads it.
        labels: Labels of its head, in order.
        size: Size of all files, bytes.
    """

    run: str
    folder: Path
    auto: str
    labels: tuple[str, ...]
    size: int


def check_out(out: Path) -> None:
    """Checks that a folder can be created.

    Raises:
        ConfigError: The folder is not empty, or is a file.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty: pass another folder with --out")


def merge(run: str, out: Path, task: str | None = None, options: ModelOptions | None = None) -> Merged:
    """Writes the backbone of a LoRA run with the updates added to its weights, in float32, and the head.

    Args:
        run: Run id, unique prefix, or folder of a run.
        out: Folder to create. It must not exist, or be empty; it is written completely or not at all.
        task: Multi-task runs: the task whose head to include.
        options: Store, and the backbone if it moved since the training.

    Raises:
        AdapterError: The run is not a single LoRA adapter (the message suggests alternatives), is damaged, or
             belongs to another backbone than the one in `options`.
        ConfigError: The folder is in use, the run is an evaluation, or it has no such head.
        StoreError: The run does not exist or is damaged, or the disk is full.
    """
    options = options or ModelOptions()
    check_out(out)
    trained = Store(options.store).find(run)
    if isinstance(trained.job, EvalJob):
        raise ConfigError(
            f"{trained.id} is an evaluation: merge the run that it evaluates, {trained.job.run[:12]}"
        )
    head = head_task(trained, task_named(task, trained)) if task else None
    return merge_run(trained, trained_backbone(trained, options), out, head.name if head else None)


def merge_run(run: Run, files: BackboneFiles, out: Path, head: str | None = None) -> Merged:
    """Merges a run into the given backbone; see `merge`.

    Args:
        run: Run of a single LoRA adapter.
        files: Backbone that the run was trained on.
        out: Folder to create.
        head: Name of the head, for a run with several.
    """
    check_out(out)
    lora = OneLora.of(run, files, head)
    state = _merged_state(lora, files)
    config = _config(lora, files)
    _check_whole(state, config, lora.form)
    _write(out.absolute(), state, config, files)
    size = sum(path.stat().st_size for path in out.iterdir())
    return Merged(run.id, out, lora.form.auto, lora.head.labels if lora.head else (), size)


def _merged_state(lora: OneLora, files: BackboneFiles) -> Tensors:
    """Returns all tensors of the merged model: W + alpha / r B A for each updated layer (Hu et al. 2022)."""
    state: Tensors = encoder.load_encoder(files, AutoModel).state_dict()
    for module, (a, b) in lora.pairs.items():
        weight = state[f"{module}.weight"]
        # In float64, so that rounding happens once and not also in the product
        weight += (lora.part.alpha / lora.part.r * b.double() @ a.double()).to(weight.dtype)
    # A head has its pooler among its own weights; without a head the backbone's pooler is kept
    pooler = lora.head is None and "pooler.dense" in linear_layers(files)
    encoder_state = {
        f"{lora.form.encoder}{name}": tensor
        for name, tensor in state.items()
        if pooler or not name.startswith("pooler.")
    }
    return encoder_state | lora.head_weights


def _config(lora: OneLora, files: BackboneFiles) -> Any:
    config = encoder.transformers_config(files)
    config.name_or_path = ""  # would hold a path of this machine
    config.architectures = [lora.form.class_name(files.model_type)]
    config.dtype = torch.float32
    labels = (lora.head.labels if lora.head else ()) or DEFAULT_LABELS
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    sentences = lora.head is not None and lora.head.kind == "classification"
    config.problem_type = "single_label_classification" if sentences else None
    return config


def _check_whole(state: Tensors, config: Any, form: Form) -> None:
    """Checks that no tensor would be missing, and so be initialised at random, after loading."""
    # On the meta device the model has shapes but no memory
    with torch.device("meta"):
        model = getattr(transformers, form.auto).from_config(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    shapes = {name: tensor.shape for name, tensor in state.items()}
    odd = {name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name)}
    if not form.ending:  # without a head a missing pooler is harmless, as it was in the backbone
        odd -= {name for name in expected.keys() - shapes.keys() if name.startswith("pooler.")}
    if odd:
        raise AdapterError(
            f"the run and its backbone do not form a complete {config.architectures[0]}: "
            f"{min(odd)} does not fit"
        )


def _write(out: Path, state: Tensors, config: Any, files: BackboneFiles) -> None:
    """Writes the checkpoint under a temporary name, then renames it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with scratch(out.parent) as temporary:
            folder = temporary / out.name
            folder.mkdir(mode=0o755)
            for name in ALLOWED:
                if name not in (CONFIG, WEIGHTS) and (files.folder / name).is_file():
                    shutil.copyfile(files.folder / name, folder / name)
            config.save_pretrained(folder)
            weights = {name: tensor.contiguous() for name, tensor in state.items()}
            save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
            sync(folder / WEIGHTS)
            folder.rename(out)
    except Exception as error:
        if is_full(error):
            raise StoreError(
                f"the disk that holds {out} is full: nothing was written; free some space, or pass another "
                "folder with --out"
            ) from error
        raise
