"""LoRA runs over the tiny encoders that look trained, and what plain models compute of the same batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from adapterstilts.kinds.base import Batch, HeadSpec
from adapterstilts.model import configs
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from adapterstilts.run.assemble import restore, save
from adapterstilts.store import Run

HEADS: dict[str, HeadSpec | None] = {
    "sentence": HeadSpec("classification", ("no", "yes", "maybe")),
    "tagging": HeadSpec("tagging", ("O", "B-PER", "I-PER", "B-LOC")),
    "span": HeadSpec("span"),
    "choice": HeadSpec("choice"),
    "retrieval": None,
}
EVERYTHING: dict[str, Any] = {
    "attn_matrices": ["q", "k", "v"], "intermediate_lora": True, "output_lora": True, "leave_out": [0],
}  # fmt: skip
TEXTS = ["the cat saw Anna in the green house", "a dog .", "who went to Paris ?", "Tom did not"]


def disturb(weights: dict[str, torch.Tensor], seed: int = 7) -> None:
    """Gives weights values as if they had been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in weights.values():
            tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))


def lora_run(host: Host, folder: Path, *heads: HeadSpec | None, config: str = "lora", **settings: Any) -> Run:
    """A finished run: one adapter, with a head for each task (mini_nli, mini_qa …)."""
    host.reset()
    small = {"r": 4, "alpha": 6.0} if config == "lora" else {}
    spec = configs.AdapterSpec.load(config, {**small, **settings})
    host.add_adapter("target", spec, seed=1)
    disturb(host._adapter_state("target"))
    known = {f"task{n}": head for n, head in enumerate(heads) if head}
    for n, (name, head) in enumerate(known.items()):
        host.add_head(name, head, seed=n)
        disturb(host.model.heads[name].state_dict(), n)
    setup = ActiveAdapters(target="target", head=next(iter(known), None))
    save(host, setup, known, folder)
    return Run("single-made", "0" * 64, folder, {"type": "train"}, {}, "", 0)


def batch_of(host: Host) -> Batch:
    return dict(host.tokenizer(TEXTS, return_tensors="pt", padding=True, return_token_type_ids=True))


def of_run(host: Host, run: Run, task: str | None = None) -> torch.Tensor:
    """What the run computes; without a head its last hidden states."""
    host.reset()
    return of_host(host, restore(host, run.path, task=task))


def of_host(host: Host, setup: ActiveAdapters) -> torch.Tensor:
    batch = batch_of(host)
    host.activate(replace(setup), train=False)
    with torch.no_grad():
        return host.forward(batch, setup.head) if setup.head else host.hidden_states(batch, -1)


def of_plain(model: Any, host: Host) -> torch.Tensor:
    """The same of a model of transformers or PEFT; two choices are made of two texts each."""
    batch = batch_of(host)
    choice = "MultipleChoice" in type(getattr(getattr(model, "base_model", None), "model", model)).__name__
    choice = choice or "MultipleChoice" in type(model).__name__
    if choice:
        batch = {name: tensor.view(2, 2, -1) for name, tensor in batch.items()}
    model.eval()
    with torch.no_grad():
        output = model(**batch)
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    if "logits" not in output:
        return output.last_hidden_state
    return output.logits.reshape(-1) if choice else output.logits
