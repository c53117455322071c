"""A backbone's weight file: its header is checked against the configuration before memory is spent on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from adapterstilts.bounded_json import MEGABYTE
from adapterstilts.errors import BackboneError
from adapterstilts.model.tensor_header import FLOATS, Entry, read_header

PREFIXES = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta."}
SPARE = 64 * MEGABYTE  # beside an encoder: heads, poolers


def shapes_of(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of an encoder of this configuration by their names in transformers, without a pooler."""
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
    return shapes


def pooler_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of a pooler, which a backbone need not have."""
    hidden = config["hidden_size"]
    return {"pooler.dense.weight": (hidden, hidden), "pooler.dense.bias": (hidden,)}


def match(path: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Finds the encoder's tensors in a weight file and compares type and shape with the configuration.

    Returns:
        For each tensor of the encoder, and of its pooler if there is one, its name in the file.

    Raises:
        BackboneError: See `read_header`; or a tensor is missing, stored twice, of another shape, or of a
            type that is not used.
    """
    entries = read_header(path, BackboneError)
    prefix = PREFIXES[config["model_type"]]
    names: dict[str, str] = {}
    for name, shape in (shapes_of(config) | pooler_shapes(config)).items():
        candidates = [one for one in _spellings(name, prefix) if one in entries]
        if len(candidates) > 1:
            raise BackboneError(f"{path} holds {name} twice: {' and '.join(candidates)}")
        if not candidates:
            if name.startswith("pooler."):
                continue
            raise BackboneError(f"{path} lacks weights of the encoder, such as {name}")
        names[name] = candidates[0]
        check_entry(path, candidates[0], entries[candidates[0]], shape)
    needed = sum(entries[name].end - entries[name].start for name in names.values())
    if (size := max(entry.end for entry in entries.values())) > 4 * needed + SPARE:
        raise BackboneError(f"{path} has {size:,} bytes, the encoder in it only {needed:,}: remove the rest")
    if sum(name.startswith("pooler.") for name in names) == 1:
        raise BackboneError(f"{path} holds half of a pooler")
    return names


def _spellings(name: str, prefix: str) -> list[str]:
    """A tensor's names in checkpoints; old ones of BERT say gamma and beta."""
    names = [name, prefix + name]
    if "LayerNorm." in name:
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        names += [old, prefix + old]
    return names


def check_entry(path: Path, name: str, entry: Entry, shape: tuple[int, ...]) -> None:
    """Compares what a header says of a tensor with what the configuration asks for.

    Raises:
        BackboneError: Another shape, or a type that is not used.
    """
    if entry.dtype not in FLOATS:
        raise BackboneError(
            f"{path}: {name} is of type {entry.dtype}; only {', '.join(sorted(FLOATS))} are read: "
            "save the encoder in float32"
        )
    if entry.shape != shape:
        raise BackboneError(
            f"{path}: {name} has the shape {list(entry.shape)}, but config.json asks for {list(shape)}"
        )


def load(path: Path, names: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    """Reads tensors in float32, one by one.

    Args:
        names: For each tensor, its name in the file.

    Raises:
        BackboneError: The file cannot be read, or a tensor holds NaN or infinity.
    """
    import torch

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name, stored in names.items():
                tensor = file.get_tensor(stored).to(torch.float32)
                if tensor.numel() and not all(torch.isfinite(end) for end in torch.aminmax(tensor)):
                    raise BackboneError(f"{path}: {stored} holds NaN or infinity: the backbone is unusable")
                yield name, tensor
    except (SafetensorError, OSError) as error:
        raise BackboneError(f"{path} is damaged or truncated ({error})") from None
