"""A run that is one LoRA adapter, as PEFT saves it: its two files, with the head beside."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapterstilts.hub.lora_tensors import LAYER, OUTPUT, OneLora, class_name, hub_id, one_lora
from adapterstilts.model import tensors
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.store import Run

CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


def export(run: Run, files: BackboneFiles, folder: Path, task: str | None = None) -> None:
    """Writes a LoRA adapter so that `peft.PeftModel.from_pretrained(model, folder)` gives the run's logits.

    The model is transformers' class for the kind of task, with as many labels as the head has; its
    configuration holds their names, not the adapter's. A retrieval run goes over plain `AutoModel`.

    Args:
        task: whose head goes along, of a run that has several.

    Raises:
        AdapterError: the run is not one LoRA adapter (with what works instead), or is damaged.
    """
    lora = one_lora(run, files, task)
    named = {
        f"{PREFIX}{lora.form.encoder}{module}.lora_{side}.weight": tensor
        for module, pair in lora.pairs.items()
        for side, tensor in zip("AB", pair, strict=True)
    }
    named |= {f"{PREFIX}{name}": tensor for name, tensor in lora.head_weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    tensors.save(folder / ADAPTER, named)
    text = json.dumps(_config(lora, files), indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _config(lora: OneLora, files: BackboneFiles) -> dict[str, Any]:
    form, part = lora.form, lora.part
    mapping = {"base_model_class": class_name(form, files.model_type), "parent_library": "transformers"}
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
    """The names of the linear layers, or a regular expression where names alone would say too much."""
    found = [place for place in map(LAYER.fullmatch, modules) if place]
    names = sorted({place[2] for place in found})
    numbers = sorted({int(place[1]) for place in found})
    if len(numbers) == layers and OUTPUT not in names:  # attention has an `output.dense` too
        return [name.removeprefix("attention.self.") for name in names]
    which, what = "|".join(map(str, numbers)), "|".join(name.replace(".", r"\.") for name in names)
    return rf"(.*\.)?encoder\.layer\.({which})\.({what})"
