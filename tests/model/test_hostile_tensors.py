"""Weight files that lie: refused before memory or time is spent on them, and never with a traceback."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.model import configs, tensors
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.host import Host
from adapterstilts.model.tensor_header import MAX_HEADER_BYTES, MAX_TENSORS, read_header


def file_with(path: Path, header: Any, body: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)
    return path


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}}


def refused(path: Path, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(AdapterError, match=message) as error:
        tensors.load(path, None)
    assert time.monotonic() - started < 20 and len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "damaged"),
        (b"[]", "does not hold a JSON object"),
        (b"{", "damaged"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "nested"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (entry(shape=[float("nan")]), "not a JSON number"),
        (entry(shape=[1e30]), "no valid shape"),
        (entry(shape=[True]), "no valid shape"),
        (entry(shape=[-1]), "no valid shape"),
        (entry(shape=[10**39]), "no valid shape"),
        (entry(shape=[2**40, 2**40]), "a size that contradicts its shape"),
        (entry(shape=[1] * 9), "no valid shape"),
        (entry(shape="1"), "no valid shape"),
        (entry(offsets=[0]), "no valid shape or offsets"),
        (entry(offsets=[4, 0]), "a size that contradicts"),
        (entry(offsets=[4, 8]), "leaves a gap before it"),
        ({**entry(), "b": entry()["a"]}, "b overlaps another tensor"),
        (entry(shape=[0], offsets=[0, 0]), "have 0 bytes, not 4"),
        ({**entry(), "__metadata__": {"format": "tf"}}, "has the format 'tf'"),
        ({"a\x1b[31m": 1}, r"a\\x1b\[31m is not described"),
        (entry(more=1), "not described by a type"),
        ({"a": [1]}, "not described by a type"),
        ({"a": {}}, "not described by a type"),
        (entry(shape=[], offsets=[0, 4]), "a is a single number"),
    ],
)
def test_headers_that_lie(header: Any, message: str, tmp_path: Path) -> None:
    refused(file_with(tmp_path / "a.safetensors", header, bytes(4)), message)


def test_a_header_of_very_many_tensors_is_refused_at_once(tmp_path: Path) -> None:
    """The library takes a minute for 1.5 million."""
    path = tmp_path / "a.safetensors"
    many = {f"t{n}": entry(shape=[0], offsets=[0, 0])["a"] for n in range(MAX_TENSORS + 1)}
    refused(file_with(path, many), "holds 20,001 tensors, more than the maximum of 20,000")
    refused(file_with(path, b"{" + b" " * MAX_HEADER_BYTES + b"}"), "too many tensors")
    refused(file_with(path, b'{"a":' + b"[" * 600_000), "holds more than 500,000 values")


@pytest.mark.parametrize("length", [2**64 - 1, 2**40, 100])
def test_a_header_longer_than_its_file(length: int, tmp_path: Path) -> None:
    refused(file_with(tmp_path / "a.safetensors", b"{}", length=length), "longer than the file")


def test_a_file_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"1234567")
    refused(tmp_path / "a.safetensors", "damaged or truncated")
    (tmp_path / "folder").mkdir()
    with pytest.raises(AdapterError, match=r"is not an ordinary file|cannot be read"):
        read_header(tmp_path / "folder", AdapterError)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("F64", 8), ("F8_E4M3", 1), ("F8_E5M2", 1), ("F8_E8M0", 1), ("F4", 1), ("C64", 8), ("I64", 8),
     ("BOOL", 1), ("U8", 1), ("X", 4), ("", 4), (None, 4), ([], 4), ("F32\x1b[31m", 4)],
)  # fmt: skip
def test_types_that_no_adapter_has(dtype: Any, size: int, tmp_path: Path) -> None:
    path = file_with(tmp_path / "a.safetensors", entry(dtype, [1], [0, size]), bytes(size))
    refused(path, "is of type .*, only BF16, F16, F32 are supported")


def test_infinity_does_not_come_in_through_float64(tmp_path: Path) -> None:
    """1e300 is finite in float64, and infinite in the float32 that it is used in."""
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.tensor([1e300], dtype=torch.float64)}, path)
    refused(path, "is of type 'F64'")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_types_that_adapters_have(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(2, 3, dtype=dtype)}, path)
    assert tensors.load(path, None)["a"].dtype == dtype
    save_file({"a": torch.tensor([1.0, torch.inf], dtype=dtype)}, path)
    refused(path, "holds NaN or infinity")


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("seq_bn", {}),
    ("double_seq_bn", {"leave_out": [1]}),
    ("par_bn", {"reduction_factor": {"0": 2, "default": 8}}),
    ("seq_bn_inv", {}),
    ("compacter", {"reduction_factor": 8}),
    ("lora", {"intermediate_lora": True, "output_lora": True, "attn_matrices": ["q", "k", "v"]}),
    ("lora", {"leave_out": [0]}),
    ("ia3", {"intermediate_lora": True}),
    ("prefix", {"leave_out": [1]}),
    ("prefix", {"flat": True}),
    ("unipelt", {}),
]


@pytest.fixture(scope="module")
def host(tiny_backbone: Path) -> Host:
    return Host(BackboneFiles.locate(str(tiny_backbone)))


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_the_size_of_an_adapter_is_known_from_its_configuration(
    name: str, settings: dict[str, Any], host: Host
) -> None:
    host.reset()
    spec = configs.AdapterSpec.load(name, settings)
    host.add_adapter("a", spec, seed=1)
    size = sum(tensor.numel() for tensor in host._adapter_state("a").values())
    assert 0.3 * size < spec.min_parameters(host.files.hidden_size, host.files.layers) <= size


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("lora", "r", 100_000_000), ("prefix", "prefix_length", 10**9), ("prefix", "bottleneck_size", 10**9)],
)
def test_what_no_memory_holds_is_refused_before_it_is_built(
    name: str, key: str, value: int, host: Host
) -> None:
    with pytest.raises(ConfigError, match=r"has at least [\d,]+ parameters"):
        host.add_adapter("large", configs.AdapterSpec.load(name, {key: value}), seed=1)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("seq_bn", "reduction_factor", 1e-6),
        ("seq_bn", "reduction_factor", 1e-320),
        ("seq_bn", "scaling", 1e300),
        ("seq_bn_inv", "inv_adapter_reduction_factor", 1e-9),
        ("lora", "r", 10**12),
        ("lora", "alpha", 1e39),
        ("compacter", "phm_dim", 10**6),
        ("seq_bn", "leave_out", [0] * 2000),
    ],
)
def test_settings_out_of_all_proportion(name: str, key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        configs.AdapterSpec.load(name, {key: value})


def test_a_configuration_larger_than_its_file_is_refused_before_it_is_built(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.reset()
    host.add_adapter("a", configs.AdapterSpec.load("lora"), seed=1)
    host.save_adapter("a", tmp_path)
    (tmp_path / "adapter.json").unlink()  # as another program saves it
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_bytes())
    config["config"]["r"] = 100_000_000
    path.write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr(host.model, "load_adapter", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(AdapterError, match=r"its file holds [0-9,]+: they do not belong together"):
        host.load_adapter(tmp_path, "b")
