"""Folds a LoRA adapter into its backbone: an ordinary transformers checkpoint with the same logits."""

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
from adapterstilts.hub.lora_tensors import Form, OneLora, class_name, linear_layers, one_lora
from adapterstilts.model import encoder
from adapterstilts.model.backbone import ALLOWED, WEIGHTS, BackboneFiles
from adapterstilts.model.tensors import Tensors
from adapterstilts.store import Run
from adapterstilts.store.files import is_full, sync
from adapterstilts.store.scratch import scratch

CONFIG = "config.json"
DEFAULT_LABELS = ("LABEL_0", "LABEL_1")  # of transformers; a span head has these two outputs


@dataclass(frozen=True)
class Merged:
    """A merged checkpoint.

    Attributes:
        auto: the auto class of transformers that loads it.
        labels: of its head, in order.
        size: of all files, bytes.
    """

    run: str
    folder: Path
    auto: str
    labels: tuple[str, ...]
    size: int


def check_out(out: Path) -> None:
    """Refuses a folder that is in use.

    Raises:
        ConfigError: it is not empty, or a file.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already and not empty: name another folder with --out")


def merge(run: Run, files: BackboneFiles, out: Path, task: str | None = None) -> Merged:
    """Writes the backbone with the adapter's updates added to its weights, in float32, and the head.

    Args:
        out: a folder that is not there yet, or is empty; it is made whole or not at all.
        task: whose head goes along, of a run that has several.

    Raises:
        AdapterError: the run is not one LoRA adapter (with what works instead), or is damaged.
        ConfigError: the folder is in use.
        StoreError: the disk is full.
    """
    check_out(out)
    lora = one_lora(run, files, task)
    state = merged_state(lora, files)
    config = _config(lora, files)
    _check_whole(state, config, lora.form)
    _write(out.absolute(), state, config, files)
    size = sum(path.stat().st_size for path in out.iterdir())
    return Merged(run.id, out, lora.form.auto, lora.head.labels if lora.head else (), size)


def merged_state(lora: OneLora, files: BackboneFiles) -> Tensors:
    """All tensors of the merged model, W + alpha / r B A where the adapter has an update (Hu et al. 2022).

    A pooler is kept only where the model reads it, and the backbone's own only if it was trained.
    """
    state: Tensors = encoder.load_encoder(files, AutoModel).state_dict()
    for module, (a, b) in lora.pairs.items():
        weight = state[f"{module}.weight"]
        weight += (lora.part.alpha / lora.part.r * b.double() @ a.double()).to(weight.dtype)
    pooler = lora.head is None and "pooler.dense" in linear_layers(files)
    kept = {name: tensor for name, tensor in state.items() if pooler or not name.startswith("pooler.")}
    return {f"{lora.form.encoder}{name}": tensor for name, tensor in kept.items()} | lora.head_weights


def _config(lora: OneLora, files: BackboneFiles) -> Any:
    config = encoder.transformers_config(files)
    config.name_or_path = ""  # no path of this machine
    config.architectures = [class_name(lora.form, files.model_type)]
    config.dtype = torch.float32
    labels = (lora.head.labels if lora.head else ()) or DEFAULT_LABELS
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    sentences = lora.head is not None and lora.head.kind == "classification"
    config.problem_type = "single_label_classification" if sentences else None
    return config


def _check_whole(state: Tensors, config: Any, form: Form) -> None:
    """Makes sure that nothing would be drawn at random when it is loaded."""
    with torch.device("meta"):
        model = getattr(transformers, form.auto).from_config(config)
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in state.items()}
    odd = {name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)}
    if not form.ending:  # loads without a pooler, as the backbone did
        odd -= {name for name in wanted.keys() - found.keys() if name.startswith("pooler.")}
    if odd:
        raise AdapterError(f"it does not make a whole {config.architectures[0]}: {min(odd)} does not fit")


def _write(out: Path, state: Tensors, config: Any, files: BackboneFiles) -> None:
    """Makes the folder under another name beside it, then renames it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with scratch(out.parent) as held:
            folder = held / out.name
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
                f"the disk that holds {out} is full: nothing was written; free some space, or name another "
                "place with --out"
            ) from error
        raise
