"""AdapterFusion: what it computes, saves and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import Batch, HeadSpec
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from tests.model.conftest import add, disturb, spec_of, states


@pytest.mark.parametrize("name", ["seq_bn", "double_seq_bn", "compacter"])
def test_zeroed_adapters_fused_equal_the_backbone(host: Host, batch: Batch, name: str) -> None:
    bare = states(host, batch)
    for n, short in enumerate("ab"):
        add(host, short, name, seed=n)
    host.add_fusion(("a", "b"), seed=1)
    assert not torch.allclose(states(host, batch, fused=("a", "b")), bare, atol=1e-3)
    for short in "ab":
        for tensor in host._adapter_state(short).values():
            tensor.zero_()
    assert torch.allclose(states(host, batch, fused=("a", "b")), bare, atol=1e-6)


def test_two_equal_adapters_fused_equal_one(host: Host, batch: Batch) -> None:
    add(host, "a")
    host.add_average("b", ["a"], (1.0,))
    host.add_fusion(("a", "b"), seed=1)
    fused = states(host, batch, fused=("a", "b"))
    for shares in host.fusion_attention(batch):
        assert shares == pytest.approx([0.5, 0.5], abs=1e-6)
    assert torch.allclose(fused, states(host, batch, target="a"), atol=1e-4)  # value begins as the identity


def test_nine_adapters_of_several_widths(host: Host, batch: Batch, tmp_path: Path) -> None:
    names = tuple(f"a{n}" for n in range(9))
    for n, name in enumerate(names):
        add(host, name, seed=n, reduction_factor=2 ** (n % 4))
    host.add_fusion(names, seed=1)
    for tensor in host._fusion_state(",".join(names)).values():
        tensor.add_(0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    before = states(host, batch, fused=names)
    shares = host.fusion_attention(batch)
    assert len(shares) == 2 and all(len(layer) == 9 for layer in shares)
    assert all(sum(layer) == pytest.approx(1, abs=1e-5) for layer in shares)
    assert max(shares[0]) - min(shares[0]) > 1e-3
    for name in names:
        host.save_adapter(name, tmp_path / name)
    host.save_fusion(names, tmp_path / "fusion")
    host.reset()
    others = tuple(f"b{n}" for n in range(9))
    for name, other in zip(names, others, strict=True):
        host.load_adapter(tmp_path / name, other)
    host.load_fusion(tmp_path / "fusion", others)
    assert torch.equal(states(host, batch, fused=others), before)


def test_attention_leaves_padding_out(host: Host, batch: Batch) -> None:
    for n, short in enumerate("ab"):
        add(host, short, seed=n)
    host.add_fusion(("a", "b"), seed=1)
    for tensor in host._fusion_state("a,b").values():
        tensor.add_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    host.activate(ActiveAdapters(fused=("a", "b")), train=False)
    row = {key: value[1:] for key, value in batch.items()}
    length = int(row["attention_mask"].sum())
    alone = {key: value[:, :length] for key, value in row.items()}
    for padded, bare in zip(host.fusion_attention(row), host.fusion_attention(alone), strict=True):
        assert padded == pytest.approx(bare, abs=1e-5)


def test_attention_without_a_fusion(host: Host, batch: Batch) -> None:
    host.activate(ActiveAdapters(), train=False)
    with pytest.raises(AdapterError, match="no AdapterFusion"):
        host.fusion_attention(batch)


def test_over_a_language_adapter(host: Host, batch: Batch) -> None:
    add(host, "l", "seq_bn_inv", seed=7)
    for n, short in enumerate("ab"):
        add(host, short, seed=n)
    host.add_fusion(("a", "b"), seed=1)
    alone = states(host, batch, fused=("a", "b"))
    assert not torch.allclose(states(host, batch, language="l", fused=("a", "b")), alone, atol=1e-3)
    for tensor in host._adapter_state("l").values():
        tensor.zero_()
    assert torch.allclose(states(host, batch, language="l", fused=("a", "b")), alone, atol=1e-5)


def test_regularisation_by_hand_and_only_in_training(host: Host) -> None:
    for short in "ab":
        add(host, short)
    host.add_head("h", HeadSpec("choice"), seed=1)
    host.add_fusion(("a", "b"), seed=1)
    host.activate(ActiveAdapters(fused=("a", "b"), head="h"), train=False)
    assert host.fusion_regularisation() is None
    host.activate(ActiveAdapters(target="a", head="h"), train=True)
    assert host.fusion_regularisation() is None
    host.activate(ActiveAdapters(fused=("a", "b"), head="h"), train=True)
    values = [tensor for key, tensor in host._fusion_state("a,b").items() if "value" in key]
    assert len(values) == 2
    for tensor in values:
        tensor.copy_(torch.eye(32))
        tensor[0, 1] = 3.0
    penalty = host.fusion_regularisation()
    assert penalty is not None and penalty.requires_grad
    assert float(penalty.detach()) == pytest.approx(0.01 * 9 * 2)


def test_names_that_begin_alike_are_kept_apart(host: Host, tmp_path: Path) -> None:
    for n, short in enumerate("abc"):
        add(host, short, seed=n)
    host.add_fusion(("a", "b"), seed=1)
    host.add_fusion(("a", "b", "c"), seed=2)
    assert len(host._fusion_state("a,b")) == len(host._fusion_state("a,b,c")) == 10  # 5 tensors a layer
    host.add_head("x", HeadSpec("choice"), seed=1)
    host.add_head("xy", HeadSpec("choice"), seed=1)
    host.save_head("x", tmp_path)
    assert b"heads.xy" not in (tmp_path / "model_head.safetensors").read_bytes()


def test_saved_over_other_adapters_or_in_another_order(host: Host, tmp_path: Path) -> None:
    for n, short in enumerate("abc"):
        add(host, short, seed=n)
    host.add_fusion(("a", "b"), seed=1)
    host.save_fusion(("a", "b"), tmp_path)
    host.remove("zzz")  # not there: nothing happens
    for sources in (("b", "a"), ("a", "c"), ("a", "b", "c")):
        with pytest.raises(AdapterError, match="other adapters, or over these in another order"):
            host.load_fusion(tmp_path, sources)
    disturb(host, "b", 9)
    with pytest.raises(AdapterError, match="other adapters"):
        host.load_fusion(tmp_path, ("a", "b"))


def test_what_cannot_be_fused_is_refused_before_the_forward_pass(host: Host) -> None:
    for name in ("lora", "ia3", "prefix", "unipelt", "par_bn", "seq_bn_inv"):
        host.add_adapter(f"{name}1", spec_of(name), seed=1)
        host.add_adapter(f"{name}2", spec_of(name), seed=2)
        with pytest.raises(AdapterError, match="--config seq_bn"):
            host.add_fusion((f"{name}1", f"{name}2"), seed=1)
    add(host, "a")
    add(host, "d", "double_seq_bn")
    with pytest.raises(AdapterError, match="same places"):
        host.add_fusion(("a", "d"), seed=1)
    with pytest.raises(AdapterError, match="no adapter 'q'"):
        host.add_fusion(("a", "q"), seed=1)
