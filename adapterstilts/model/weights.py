"""A backbone's weight file: its header is checked against the configuration before memory is spent on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from adapterstilts import bounded_json
from adapterstilts.bounded_json import shown
from adapterstilts.errors import BackboneError, StiltsError

PREFIXES = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta."}
USED = ("F32", "F16", "BF16")
WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
METADATA = "__metadata__"
FORMATS = (None, "pt", "mlx")
SPARE = 64 * bounded_json.MEGABYTE  # beside an encoder: heads, poolers
HEADER = bounded_json.Limits(size=8 * bounded_json.MEGABYTE, depth=4, values=400_000)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file, as the header describes it.

    Attributes:
        dtype: Its type in the file, such as F32.
        shape: Its size along each axis.
        start, end: Its bytes, counted from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path, error: type[StiltsError]) -> dict[str, Entry]:
    """Reads and checks the header of a safetensors file; the tensors themselves are not read.

    Raises:
        error: Not a safetensors file, too many tensors, or tensors that overlap, leave holes, are longer or
            shorter than their shape says, or do not end where the file ends.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= size - 8:
            raise error(f"{path} is damaged or truncated, or not a safetensors file")
        if length > HEADER.size:
            raise error(f"{path}: its header has {length:,} bytes, at most {HEADER.size:,} are read")
        data = file.read(length)
    header = bounded_json.parse_object(data, f"the header of {path}", error, HEADER)
    _check_format(header.pop(METADATA, {}), path, error)
    entries = {name: _entry(name, entry, path, error) for name, entry in header.items()}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != end:
            raise error(
                f"{path} is damaged: {shown(name)} overlaps another tensor or leaves a hole before it"
            )
        end = entry.end
    if end != size - 8 - length:
        rest = size - 8 - length
        raise error(f"{path} is damaged or truncated: its tensors have {end:,} bytes, not {rest:,}")
    return entries


def _check_format(metadata: Any, path: Path, error: type[StiltsError]) -> None:
    name = metadata.get("format") if isinstance(metadata, dict) else metadata
    if name not in FORMATS:
        raise error(f"{path} has the format {shown(name, 40)!r}: convert it to PyTorch's, which is 'pt'")


def _entry(name: str, value: Any, path: Path, error: type[StiltsError]) -> Entry:
    try:
        dtype, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
        numbers = [*shape, start, end]
        plausible = all(type(number) is int and number >= 0 for number in numbers) and len(shape) <= 8
    except (KeyError, TypeError, ValueError):
        raise error(f"{path} is damaged: its header describes {shown(name)} wrongly") from None
    if not isinstance(dtype, str) or dtype not in WIDTHS:
        raise error(f"{path}: {shown(name)} is of type {shown(dtype, 20)}, which is not supported")
    if not plausible or math.prod(shape) * WIDTHS[dtype] != end - start:
        raise error(f"{path} is damaged: {shown(name)} has a shape that does not fit its length")
    return Entry(dtype, tuple(shape), start, end)


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
    if entry.dtype not in USED:
        raise BackboneError(
            f"{path}: {name} is of type {entry.dtype}; only {', '.join(USED)} are read: save the encoder in "
            "float32"
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
