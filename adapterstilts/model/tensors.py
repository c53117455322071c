"""Named tensors: files that are checked before use, digests, and the tensors of one adapter in a model."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from adapterstilts.errors import AdapterError
from adapterstilts.model.tensor_header import FLOATS, read_header

Tensors = dict[str, torch.Tensor]
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

# Modules with the tensors of an adapter in the library; `adapters` also matches `invertible_adapters`.
ADAPTER_PLACES = "adapters|prefix_tunings|prefix_gates|loras|shared_parameters"
FUSION_PLACE = "adapter_fusion_layer"


def save(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Writes tensors so that the file is complete or absent, and returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Copies: the format refuses tensors that share memory, as those of prefix tuning do.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # Written under another name and then renamed, which is atomic: a reader never sees half a file.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(copies, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return _sha256(path)


def load(path: Path, expected: str | None) -> Tensors:
    """Reads a weight file that may come from a stranger.

    Args:
        path: Path of a safetensors file.
        expected: SHA-256 of the file; None if none was recorded.

    Raises:
        AdapterError: The file is missing, a pickle, truncated or changed, or a tensor has an unsupported
            type or holds NaN or infinity.
    """
    if not path.is_file():
        # The library would fall back to the pickle, which can run code.
        pickles = sorted(p.name for p in path.parent.glob("*") if p.suffix in PICKLE_SUFFIXES)
        hint = (
            f", only {pickles[0]}, a pickle, which is never loaded: save it again with the adapters "
            "library's save_adapter(..., use_safetensors=True)"
        )
        raise AdapterError(f"{path.parent} holds no {path.name}{hint if pickles else ''}")
    if expected is not None and _sha256(path) != expected:
        raise AdapterError(
            f"{path} is not the file that was saved (its SHA-256 differs): retrain or download it"
        )
    # The header is checked first: a hostile one keeps the library busy for minutes.
    for name, entry in read_header(path, AdapterError, FLOATS).items():
        if not entry.shape:
            raise AdapterError(f"{path}: {name} is a single number, and no part of an adapter is")
    try:
        tensors = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise AdapterError(f"{path} is damaged or truncated ({error}): retrain or download it") from None
    for name, tensor in tensors.items():
        # In float32, the type in which the tensor is used.
        if not torch.isfinite(tensor.float()).all():
            raise AdapterError(f"{path}: {name} holds NaN or infinity: the adapter is unusable")
    return tensors


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Returns the SHA-256 (hex) of names, shapes and float32 values; the order does not matter."""
    # Part of saved records: the bytes that are hashed must stay the same.
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().float().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def is_alias(key: str) -> bool:
    """Whether a parameter's name is a second name for it."""
    # Every layer also refers to the pool of all prefixes.
    return ".pool." in key


def part_of(state: Mapping[str, torch.Tensor], name: str, places: str = ADAPTER_PLACES) -> Tensors:
    """Returns the tensors of one adapter or fusion among those of a whole model."""
    # Trap: the library compares prefixes of names, and takes the tensors of "a,b,c" for those of "a,b" too.
    place = re.compile(rf"({places})\.{re.escape(name)}\.")
    return {key: tensor for key, tensor in state.items() if place.search(key) and not is_alias(key)}


def neutral(state: Mapping[str, torch.Tensor], name: str, places: str = ADAPTER_PLACES) -> Tensors:
    """Returns the tensors of one adapter or fusion with `*` for its name, to compare and copy them."""
    place = re.compile(rf"({places})\.{re.escape(name)}\.")
    return {place.sub(r"\1.*.", key, count=1): tensor for key, tensor in state.items()}


def copy(into: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor], target: str) -> None:
    """Copies values into tensors of the same names and shapes.

    Args:
        into: Tensors to fill, in place.
        values: New values.
        target: Name of the tensors in messages.

    Raises:
        AdapterError: A name or a shape differs; nothing is copied then.
    """
    expected = {name: tensor.shape for name, tensor in into.items()}
    shapes = {name: tensor.shape for name, tensor in values.items()}
    if expected != shapes:
        names = sorted(name for name in {*expected, *shapes} if expected.get(name) != shapes.get(name))
        raise AdapterError(
            f"the weights of {target} do not fit: {names[0]} and {len(names) - 1} others differ"
        )
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(values[name])
