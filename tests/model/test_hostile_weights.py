"""Weight files that are damaged or hold what no encoder is: refused before memory is spent on them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterstilts.errors import BackboneError
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import backbone
from adapterstilts.model.host import Host
from tests.model import hostile
from tests.model.hostile import QUERY, WEIGHTS, content, header, instead, weights

Edit = Callable[[Path], object]


@pytest.fixture
def folder(hostile_folder: Path) -> Path:
    return hostile_folder


def put(name: str, tensor: torch.Tensor) -> Edit:
    return weights(lambda tensors: tensors.update({name: tensor}))


def spoil(value: float) -> Edit:
    return weights(lambda tensors: tensors[QUERY].view(-1)[3:4].fill_(value))


def cast(dtype: torch.dtype) -> Edit:
    return weights(lambda tensors: tensors.update({QUERY: tensors[QUERY].to(dtype)}))


def one_that_is_infinite(tensors: dict[str, torch.Tensor]) -> None:
    tensors[QUERY] = tensors[QUERY].double()
    tensors[QUERY][0, 0] = 1e300


def declared(length: int, size: int) -> Callable[[Path], object]:
    """A file with this length of header, and this size."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(struct.pack("<Q", length))
            file.truncate(size)

    return make


def entry(**values: object) -> Edit:
    return header(lambda entries: entries[QUERY].update(values))


WEIGHT_FILES: dict[str, tuple[Edit, str]] = {
    "NaN": (spoil(float("nan")), "query.weight holds NaN or infinity"),
    "infinity": (spoil(float("-inf")), "query.weight holds NaN or infinity"),
    "infinity after the cast": (weights(one_that_is_infinite), "is of type F64; only BF16, F16, F32"),
    "infinity in half precision": (
        weights(lambda tensors: tensors.update({QUERY: (tensors[QUERY] * 1e9).half()})), "NaN or infinity",
    ),
    "8-bit floats": (cast(torch.float8_e4m3fn), "is of type F8_E4M3; only"),
    "whole numbers": (cast(torch.int8), "is of type I8; only"),
    "an unknown type": (entry(dtype="F4"), "is of type 'F4', only"),
    "a type that is no text": (entry(dtype=["F32"]), "is of type .*, only"),
    "another shape": (
        put(QUERY, torch.zeros(32, 31)), r"has the shape \[32, 31\], but config.json requires \[32, 32\]",
    ),
    "no shape": (put(QUERY, torch.tensor(1.0)), r"has the shape \[\], but"),
    "a missing tensor": (weights(lambda tensors: tensors.pop(QUERY)), f"lacks weights .* such as {QUERY}"),
    "a tensor twice": (put(f"bert.{QUERY}", torch.zeros(32, 32)), "twice"),
    "half a pooler": (weights(lambda tensors: tensors.pop("pooler.dense.bias")), "only one .* a pooler"),
    "another framework": (weights(lambda _: None, "tf"), "has the format 'tf'"),
    "a header longer than the file": (instead(WEIGHTS, declared(2**40, 100)), "damaged or truncated"),
    "a header of 90 MB": (instead(WEIGHTS, declared(90 * 2**20, 2**27)), "has a header of 94,371,840 bytes"),
    "a header of many tensors": (
        instead(WEIGHTS, content(struct.pack("<Q", 2_000_010) + b'{"a":[' + b"1," * 1_000_000 + b"1]}")),
        "more than 500,000 values|damaged",
    ),
    "a deep header": (
        instead(WEIGHTS, content(struct.pack("<Q", 10**5) + b"[" * 10**5)), "nested more than 4 deep",
    ),
    "no header": (instead(WEIGHTS, content(b"")), "damaged or truncated"),
    "overlapping tensors": (
        header(lambda entries: entries.update({"twin": entries[QUERY]})), "overlaps another tensor",
    ),
    "a hole": (header(lambda entries: entries.pop("pooler.dense.bias")), "leaves a gap|have .* bytes, not"),
    "a short tensor": (entry(shape=[32, 64]), "a size that contradicts its shape"),
    "a shape beyond all numbers": (entry(shape=[2**62, 2**62]), "no valid shape or offsets"),
    "a negative offset": (entry(data_offsets=[-8, 4088]), "no valid shape or offsets"),
    "an offset that is true": (entry(data_offsets=[True, 4097]), "no valid shape or offsets"),
    "no entry": (header(lambda entries: entries.update({QUERY: 1})), "not described by a type"),
    "bytes behind the tensors": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes() + bytes(64)),
        "bytes, not",
    ),
    "far more than an encoder": (
        lambda folder: add_sparse(folder, 2**33), "the encoder in it only",
    ),
}  # fmt: skip


def add_sparse(folder: Path, size: int) -> None:
    """Adds a tensor of `size` zeros that take no room on the disk."""

    def add(entries: dict[str, dict[str, object]]) -> None:
        end = max(entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__")  # type: ignore[index]
        entries["more"] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}

    header(add)(folder)
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate((folder / WEIGHTS).stat().st_size + size)


@pytest.mark.parametrize("case", WEIGHT_FILES)
def test_weight_files(folder: Path, case: str) -> None:
    edit, message = WEIGHT_FILES[case]
    edit(folder)
    hostile.refuses(folder, message)


def test_a_head_that_is_not_finite(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    words = len(tensors["embeddings.word_embeddings.weight"])
    head = {
        "transform.dense.weight": torch.full((32, 32), float("nan")), "transform.dense.bias": torch.zeros(32),
        "transform.LayerNorm.weight": torch.ones(32), "transform.LayerNorm.bias": torch.zeros(32),
        "bias": torch.zeros(words),
    }  # fmt: skip
    tensors |= {f"cls.predictions.{name}": tensor for name, tensor in head.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    host = Host(backbone.BackboneFiles.locate(str(folder)))
    with pytest.raises(BackboneError, match="holds NaN or infinity"):
        host.add_head("m", HeadSpec("mlm", ()), seed=1)
