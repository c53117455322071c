"""Named tensors: files that are checked before use, digests, parts of a model."""

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
PICKLE = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def save(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Writes tensors so that the file is complete or absent; returns its SHA-256.

    Each tensor is copied first: the format refuses tensors that share memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(copies, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return sha256(path)


def load(path: Path, expected: str | None) -> Tensors:
    """Reads a weight file that another program may have written.

    Args:
        expected: its SHA-256, or None where none was recorded.

    Raises:
        AdapterError: missing, only there as a pickle, truncated, changed, of a type that no adapter has, or
            holding NaN or infinity.
    """
    if not path.is_file():
        pickles = sorted(p.name for p in path.parent.glob("*") if p.suffix in PICKLE)
        hint = (
            f", only {pickles[0]}, a pickle, which is never loaded: save it again with the adapters "
            "library's save_adapter(..., use_safetensors=True)"
        )
        raise AdapterError(f"{path.parent} holds no {path.name}{hint if pickles else ''}")
    if expected is not None and sha256(path) != expected:
        raise AdapterError(
            f"{path} is not the file that was saved (its SHA-256 differs): train or download it again"
        )
    for name, entry in read_header(path, AdapterError, FLOATS).items():
        if not entry.shape:
            raise AdapterError(f"{path}: {name} is a single number, and no part of an adapter is")
    try:
        tensors = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise AdapterError(f"{path} is damaged or truncated ({error}): train or download it again") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.float()).all():  # in the type that it is used in
            raise AdapterError(f"{path}: {name} holds NaN or infinity: the adapter is unusable")
    return tensors


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 (hex) of names, shapes and float32 values, whatever the order."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().float().contiguous()
        found.update(f"{name}{tuple(tensor.shape)}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


ADAPTER_PLACES = "adapters|prefix_tunings|prefix_gates|loras|shared_parameters"  # also invertible_adapters
FUSION_PLACE = "adapter_fusion_layer"


def repeated(key: str) -> bool:
    """Whether a parameter's name is one of several for it: each layer also refers to all prefixes."""
    return ".pool." in key


def part_of(state: Mapping[str, torch.Tensor], name: str, places: str = ADAPTER_PLACES) -> Tensors:
    """The tensors of one adapter (or fusion) among those of a whole model.

    Names are compared to the end: the library takes those of "a,b,c" for those of "a,b" too.
    """
    place = re.compile(rf"({places})\.{re.escape(name)}\.")
    return {key: tensor for key, tensor in state.items() if place.search(key) and not repeated(key)}


def neutral(state: Mapping[str, torch.Tensor], name: str, places: str = ADAPTER_PLACES) -> Tensors:
    """The tensors of one adapter (or fusion) with `*` for its name, to compare and copy them."""
    place = re.compile(rf"({places})\.{re.escape(name)}\.")
    return {place.sub(r"\1.*.", key, count=1): tensor for key, tensor in state.items()}


def copy(into: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor], what: str) -> None:
    """Copies values into tensors of the same names and shapes.

    Raises:
        AdapterError: a name or a shape differs; nothing is copied then.
    """
    mine = {name: tensor.shape for name, tensor in into.items()}
    theirs = {name: tensor.shape for name, tensor in values.items()}
    if mine != theirs:
        odd = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
        raise AdapterError(f"the weights of {what} do not fit: {odd[0]} and {len(odd) - 1} others differ")
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(values[name])
