"""Writes a run with a single LoRA adapter in PEFT's format, its head included."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapterstilts.hub.lora_tensors import LAYER, OUTPUT, OneLora, hub_id
from adapterstilts.model import tensors
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.store import Run

CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"
# PEFT wraps the model twice, and keeps the names of the outer modules
PREFIX = "base_model.model."


def export(run: Run, files: BackboneFiles, folder: Path, task: str | None = None) -> None:
    """Writes a LoRA adapter so that `peft.PeftModel.from_pretrained(model, folder)` gives the run's logits.

    The model is an instance of transformers' class for the kind of task, with as many labels as the head. The
    names of the labels belong to its configuration. Retrieval runs use plain `AutoModel`.

    Args:
        run: Run to write.
        files: Backbone that it was trained on.
        folder: Folder for the two files.
        task: Multi-task runs: the task whose head to include.

    Raises:
        AdapterError: The run is not a single LoRA adapter (the message suggests alternatives), or is damaged.
    """
    lora = OneLora.of(run, files, task)
    state = {
        f"{PREFIX}{lora.form.encoder}{module}.lora_{side}.weight": tensor
        for module, pair in lora.pairs.items()
        for side, tensor in zip("AB", pair, strict=True)
    }
    state |= {f"{PREFIX}{name}": tensor for name, tensor in lora.head_weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    tensors.save(folder / ADAPTER, state)
    text = json.dumps(_config(lora, files), indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _config(lora: OneLora, files: BackboneFiles) -> dict[str, Any]:
    form, part = lora.form, lora.part
    mapping = {"base_model_class": form.class_name(files.model_type), "parent_library": "transformers"}
    # PEFT has no task type for multiple choice, so the model class is named instead
    return {
        "peft_type": "LORA",
        "task_type": form.peft,
        "auto_mapping": None if form.peft else mapping,
        "base_model_name_or_path": hub_id(files) or files.folder.name,
        "revision": files.commit,
        "inference_mode": True,
        "r": part.r,
        "lora_alpha": int(part.alpha) if part.alpha == int(part.alpha) else part.alpha,
        "lora_dropout": part.dropout,
        "target_modules": _targets(lora.pairs, files.layers),
        "modules_to_save": list(form.modules) or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }


def _targets(modules: Iterable[str], layers: int) -> list[str] | str:
    """Returns the names of the linear layers, or a regular expression if names would match too many."""
    matches = [match for match in map(LAYER.fullmatch, modules) if match]
    names = sorted({match[2] for match in matches})
    numbers = sorted({int(match[1]) for match in matches})
    # PEFT compares the ends of names, and "output.dense" also ends "attention.output.dense"
    if len(numbers) == layers and OUTPUT not in names:
        return [name.removeprefix("attention.self.") for name in names]
    modules_pattern = "|".join(name.replace(".", r"\.") for name in names)
    return rf"(.*\.)?encoder\.layer\.({'|'.join(map(str, numbers))})\.({modules_pattern})"
