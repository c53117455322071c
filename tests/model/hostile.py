"""What the hostile backbones are made with: ways to change a folder, and what each would do if let in."""

from __future__ import annotations

import json
import struct
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterstilts.errors import BackboneError
from adapterstilts.model import backbone
from adapterstilts.model.host import Host

MARKER = "marker"  # appears in the working folder where something of the backbone was run
WEIGHTS = "model.safetensors"
QUERY = "encoder.layer.0.attention.self.query.weight"
SLOWEST = 20.0  # seconds; each takes far less, what hangs takes minutes
CODE = f"open({MARKER!r}, 'w').close()\n"


class Explosive:
    """A pickle of it makes the marker where it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return open, (MARKER, "w")


def change(path: Path, **values: object) -> None:
    """Sets keys of a JSON file."""
    data = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**data, **values}), "utf-8")


def config(**values: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "config.json", **values)


def settings(**values: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "tokenizer_config.json", **values)


def special(**values: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "special_tokens_map.json", **values)


def tokenizer(**values: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "tokenizer.json", **values)


def vocabulary(**values: object) -> Callable[[Path], None]:
    """Sets keys of the tokenizer's model."""

    def edit(folder: Path) -> None:
        data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        change(folder / "tokenizer.json", model={**data["model"], **values})

    return edit


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Puts something else in a file's place."""

    def edit(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return edit


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def weights(edit: Callable[[dict[str, torch.Tensor]], object], form: str = "pt") -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        edit(tensors)
        save_file(tensors, folder / WEIGHTS, metadata={"format": form})

    return apply


def header(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Changes the header of the weight file, without the tensors behind it."""

    def apply(folder: Path) -> None:
        data = (folder / WEIGHTS).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        entries = json.loads(data[8 : 8 + length])
        edit(entries)
        text = json.dumps(entries).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])

    return apply


def refuses(folder: Path, message: str) -> None:
    """The backbone is refused with one clear sentence, soon, and nothing of it was run."""
    begin = time.monotonic()
    with pytest.raises(BackboneError, match=message) as raised:
        Host(backbone.BackboneFiles.locate(str(folder)))
    assert time.monotonic() - begin < SLOWEST
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1_000
    assert not Path(MARKER).exists()


def encoded(host: Host) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """A short text's inputs and its last hidden states."""
    batch = dict(host.tokenizer(["the cat saw Anna"], return_tensors="pt", return_token_type_ids=True))
    with torch.no_grad():
        return batch, host.hidden_states(batch, -1)


def fake_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a package in place of `kernels` that makes the marker when a kernel is asked for."""

    def get_kernel(*_: object, **__: object) -> types.SimpleNamespace:
        Path(MARKER).touch()
        return types.SimpleNamespace()

    package = types.ModuleType("kernels")
    package.get_kernel = get_kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kernels", package)
    monkeypatch.setattr("transformers.integrations.hub_kernels.get_kernel", get_kernel, raising=False)
    monkeypatch.setattr("transformers.integrations.hub_kernels._kernels_available", True, raising=False)
    monkeypatch.setattr("transformers.modeling_utils.is_kernels_available", lambda: True, raising=False)
