"""A backbone's weight file; its header is checked against the configuration before tensors are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from adapterstilts.bounded_json import MEGABYTE
from adapterstilts.errors import BackboneError
from adapterstilts.model.tensor_header import read_header

PREFIXES = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta."}
POOLER = ("pooler.dense.weight", "pooler.dense.bias")  # optional: no head here reads it
SPARE = 64 * MEGABYTE  # for heads and poolers in the same file


def _encoder_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of an encoder's and a pooler's tensors, by their names in transformers."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    layer: dict[str, tuple[int, ...]] = {
        **{f"attention.self.{name}": (hidden, hidden) for name in ("query", "key", "value")},
        "attention.output.dense": (hidden, hidden),
        "attention.output.LayerNorm": (hidden,),
        "intermediate.dense": (inner, hidden),
        "output.dense": (hidden, inner),
        "output.LayerNorm": (hidden,),
    }
    for n in range(config["num_hidden_layers"]):
        for name, shape in layer.items():
            shapes[f"encoder.layer.{n}.{name}.weight"] = shape
            shapes[f"encoder.layer.{n}.{name}.bias"] = shape[:1]
        if config["position_embedding_type"] != "absolute":
            distances = 2 * config["max_position_embeddings"] - 1
            name = f"encoder.layer.{n}.attention.self.distance_embedding.weight"
            shapes[name] = (distances, hidden // config["num_attention_heads"])
    return shapes | dict(zip(POOLER, ((hidden, hidden), (hidden,)), strict=True))


def match(path: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Finds the encoder's tensors in a weight file and compares type and shape with the configuration.

    Returns:
        Names in the file of the tensors of the encoder, and of its pooler if there is one.

    Raises:
        BackboneError: A tensor is missing, stored twice, or has an unexpected shape or type; or see
            `read_header`.
    """
    entries = read_header(path, BackboneError)
    prefix = PREFIXES[config["model_type"]]
    names: dict[str, str] = {}
    for name, shape in _encoder_shapes(config).items():
        candidates = [spelling for spelling in _spellings(name, prefix) if spelling in entries]
        if len(candidates) > 1:
            raise BackboneError(f"{path} holds {name} twice: {' and '.join(candidates)}")
        if not candidates:
            if name in POOLER:
                continue
            raise BackboneError(f"{path} lacks weights of the encoder, such as {name}")
        names[name] = candidates[0]
        entries[candidates[0]].check(path, candidates[0], shape)
    needed = sum(entries[name].end - entries[name].start for name in names.values())
    # A file much larger than its encoder costs disk and time to hash.
    if (size := max(entry.end for entry in entries.values())) > 4 * needed + SPARE:
        raise BackboneError(f"{path} has {size:,} bytes, the encoder in it only {needed:,}: remove the rest")
    if sum(name in POOLER for name in names) == 1:
        raise BackboneError(f"{path} holds only one of the two tensors of a pooler")
    return names


def _spellings(name: str, prefix: str) -> list[str]:
    """Returns the names of a tensor in checkpoints; old ones of BERT use gamma and beta."""
    names = [name, prefix + name]
    if "LayerNorm." in name:
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        names += [old, prefix + old]
    return names


def load(path: Path, names: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    """Yields tensors in float32, one by one.

    Args:
        names: Names in the file, by the names to yield.

    Raises:
        BackboneError: The file cannot be read, or a tensor holds NaN or infinity.
    """
    # Here, not above: listing and planning check backbones without loading torch.
    import torch

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name, stored in names.items():
                tensor = file.get_tensor(stored).to(torch.float32)
                # The extremes are NaN or infinite if any value is; isfinite would need a copy of the tensor.
                if tensor.numel() and not all(torch.isfinite(end) for end in torch.aminmax(tensor)):
                    raise BackboneError(f"{path}: {stored} holds NaN or infinity: the backbone is unusable")
                yield name, tensor
    except (SafetensorError, OSError) as error:
        raise BackboneError(f"{path} is damaged or truncated ({error})") from None
