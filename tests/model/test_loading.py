"""Saved adapters and heads that must not load: each guard against what the library takes without a word."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import Batch, HeadSpec
from adapterstilts.model import backbone
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from adapterstilts.model.saved import SavedAdapter, SavedHead
from tests.conftest import build_backbone
from tests.model.conftest import add, spec_of, states


@pytest.fixture
def folder(host: Host, tmp_path: Path) -> Path:
    """A saved adapter; the host is bare again."""
    add(host, "a")
    host.save_adapter("a", tmp_path / "a")
    host.reset()
    return tmp_path / "a"


def as_others_save_it(folder: Path) -> Path:
    """The same without our record, as the adapters library itself would have saved it."""
    (folder / SavedAdapter.RECORD).unlink()
    return folder


def refuses(host: Host, folder: Path, message: str) -> None:
    """Loading fails, says why, and leaves nothing behind."""
    before = set(host.model.state_dict())
    with pytest.raises(AdapterError, match=message):
        host.load_adapter(folder, "x")
    assert set(host.model.state_dict()) == before
    assert "x" not in host.model.adapters_config.adapters
    host.add_adapter("x", spec_of("seq_bn"), seed=1)  # the name is free


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def rewrite(folder: Path, edit: object) -> None:
    """Replaces the weights, with a record that fits them."""
    path = folder / "adapter.safetensors"
    tensors = load_file(path)
    edit(tensors)  # type: ignore[operator]
    save_file(tensors, path)
    (folder / SavedAdapter.RECORD).unlink(missing_ok=True)


def test_one_saved_by_the_library_itself(host: Host, batch: Batch, tmp_path: Path) -> None:
    for name in ("seq_bn_inv", "lora", "ia3"):
        add(host, "a", name)
        before = states(host, batch, target="a")
        host.model.save_adapter(str(tmp_path / name), "a", with_head=False, use_safetensors=True)
        spec = host.adapter_spec("a")
        host.reset()
        host.load_adapter(tmp_path / name, "language")
        assert torch.equal(states(host, batch, target="language"), before)
        assert host.adapter_spec("language").config == spec.config
        host.reset()


def test_ours_loads_into_the_library_itself(host: Host, batch: Batch, tmp_path: Path) -> None:
    add(host, "a", "unipelt")
    host.add_head("a", HeadSpec("tagging", ("x", "y")), seed=1)
    host.activate(ActiveAdapters(target="a", head="a"), train=False)
    before = host.forward(batch, "a")
    host.save_adapter("a", tmp_path)
    host.save_head("a", tmp_path)
    host.reset()
    host.model.load_adapter(str(tmp_path), load_as="z", use_safetensors=True, set_active=True)
    assert torch.equal(host.model(**batch, head="z").logits, before)
    host.model.delete_adapter("z")
    host.model.delete_head("z")


def test_not_an_adapter(host: Host, tmp_path: Path) -> None:
    refuses(host, tmp_path, "holds no adapter_config.json")
    host.reset()
    (tmp_path / "adapter_config.json").write_text("{", "utf-8")
    refuses(host, tmp_path, "line 1: damaged")
    host.reset()
    (tmp_path / "adapter_config.json").write_text("{}", "utf-8")
    refuses(host, tmp_path, "no 'config' and 'name'")


def test_only_a_pickle(host: Host, tmp_path: Path) -> None:
    add(host, "a")
    host.model.save_adapter(str(tmp_path), "a", with_head=False)  # the library's default is a pickle
    host.reset()
    assert (tmp_path / "pytorch_adapter.bin").exists()
    refuses(host, tmp_path, "pytorch_adapter.bin, a pickle, which is never loaded")


@pytest.mark.parametrize("ours", [True, False])
def test_truncated(host: Host, folder: Path, ours: bool) -> None:
    path = folder / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    refuses(
        host,
        folder if ours else as_others_save_it(folder),
        "SHA-256 differs" if ours else "damaged or truncated",
    )


def test_one_flipped_bit(host: Host, folder: Path) -> None:
    path = folder / "adapter.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    refuses(host, folder, "SHA-256 differs")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(host: Host, folder: Path, value: float) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        next(iter(tensors.values())).flatten()[0] = value

    rewrite(folder, edit)
    refuses(host, folder, "NaN or infinity")


def test_a_tensor_missing(host: Host, folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop(min(tensors)))
    refuses(host, folder, "1 tensors are missing")


def test_a_tensor_too_many(host: Host, folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"bert.extra": torch.ones(1)}))
    refuses(host, folder, "1 are unexpected")


def test_a_tensor_of_another_shape(host: Host, folder: Path) -> None:
    change(
        folder / "adapter_config.json",
        config={
            **json.loads((folder / "adapter_config.json").read_text("utf-8"))["config"],
            "reduction_factor": 4,
        },
    )
    refuses(host, as_others_save_it(folder), "does not fit")


def test_its_configuration_was_changed(host: Host, folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))["config"]
    change(folder / "adapter_config.json", config={**config, "non_linearity": "gelu"})
    refuses(host, folder, "adapter_config.json was changed")


def test_its_record_was_changed_or_is_damaged(host: Host, folder: Path) -> None:
    path = folder / SavedAdapter.RECORD
    text = path.read_text("utf-8")
    path.write_text(text.replace('"layers": 2', '"layers": 3'), "utf-8")
    refuses(host, folder, "adapter.json was changed")
    host.reset()
    path.write_text(text[:-20], "utf-8")
    refuses(host, folder, "adapter.json, line .*: damaged")


def test_of_another_depth(host: Host, folder: Path, deeper_backbone: Path) -> None:
    deeper = Host(backbone.BackboneFiles.locate(str(deeper_backbone)))
    refuses(deeper, folder, "its layers is 2, that of .* is 3")
    deeper.reset()
    refuses(deeper, as_others_save_it(folder), "tensors are missing")
    add(deeper, "b")
    deeper.save_adapter("b", folder.parent / "b")
    refuses(host, as_others_save_it(folder.parent / "b"), "are unexpected")


def test_of_another_type_width_or_weights(host: Host, folder: Path, tiny_xlmr: Path, tmp_path: Path) -> None:
    other = Host(backbone.BackboneFiles.locate(str(tiny_xlmr)))
    refuses(other, folder, "its model type is bert, that of .* is xlm-roberta")
    wider = Host(backbone.BackboneFiles.locate(str(build_backbone(tmp_path / "wide", hidden=48))))
    refuses(wider, folder, "its hidden size is 32, that of .* is 48")
    twin = build_backbone(tmp_path / "twin")
    weights = load_file(twin / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][0, 0] += 1
    save_file(weights, twin / "model.safetensors", metadata={"format": "pt"})
    refuses(
        Host(backbone.BackboneFiles.locate(str(twin))),
        folder,
        "its backbone is sha256:.*, that of .* is sha256:",
    )
    as_others_save_it(folder)
    other.reset()
    refuses(other, folder, "its model type is bert")
    wider.reset()
    refuses(wider, folder, "its hidden size is 32")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("loreft", "'reft' is not supported"),
        ("prompt_tuning", "not supported"),
        ("dora", "use_dora"),
        ("vera", "vera_"),
    ],
)
def test_methods_that_are_not_supported(host: Host, tmp_path: Path, config: str, message: str) -> None:
    host.model.add_adapter("a", config=config)
    host.model.save_adapter(str(tmp_path), "a", with_head=False, use_safetensors=True)
    host.model.delete_adapter("a")
    refuses(host, tmp_path, message)


def test_a_setting_that_is_not_known(host: Host, folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))["config"]
    change(folder / "adapter_config.json", config={**config, "reduction_facto": 8})
    refuses(host, as_others_save_it(folder), "reduction_facto: 8 is not supported")


def test_a_name_that_is_taken(host: Host, folder: Path) -> None:
    host.load_adapter(folder, "a")
    with pytest.raises(AdapterError, match="loaded already"):
        host.load_adapter(folder, "a")


def test_heads(host: Host, tmp_path: Path) -> None:
    pair = HeadSpec("classification", ("no", "yes"))
    host.add_head("h", pair, seed=1)
    host.save_head("h", tmp_path)
    host.reset()
    for expected in (HeadSpec("classification", ("yes", "no")), HeadSpec("tagging", ("no", "yes"))):
        with pytest.raises(AdapterError, match="predicts classification over"):
            host.load_head(tmp_path, "h", expected)
    path = tmp_path / "model_head.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-4] + struct.pack("<f", 9.0))
    with pytest.raises(AdapterError, match="SHA-256 differs"):
        host.load_head(tmp_path, "h", pair)
    path.write_bytes(data)
    host.load_head(tmp_path, "h", pair)
    (tmp_path / SavedHead.RECORD).unlink()
    with pytest.raises(AdapterError, match="not saved completely"):
        host.load_head(tmp_path, "g", pair)
    with pytest.raises(AdapterError, match="no head 'g'"):
        host.forward({}, "g")
