"""Means in weight space and warm starts."""

from __future__ import annotations

import pytest
import torch

from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import Batch
from adapterstilts.model.host import Host
from tests.model.conftest import add, spec_of, states

NAMES = ("seq_bn", "double_seq_bn", "par_bn", "seq_bn_inv", "lora", "ia3", "prefix", "compacter", "unipelt")
MEANS = ("seq_bn", "double_seq_bn", "par_bn", "seq_bn_inv", "ia3")


@pytest.mark.parametrize("name", NAMES)
def test_one_adapter_with_weight_one_is_its_copy(host: Host, batch: Batch, name: str) -> None:
    add(host, "a", name)
    spec = host.add_average("t", ["a"], (1.0,))
    assert spec == host.adapter_spec("a") == host.adapter_spec("t")
    assert host._digests(["t"]) == host._digests(["a"])
    assert torch.equal(states(host, batch, target="t"), states(host, batch, target="a"))
    with torch.no_grad():
        for tensor in host._adapter_state("t").values():
            tensor.zero_()
    assert host._digests(["t"]) != host._digests(["a"])  # a copy, not the same tensors


@pytest.mark.parametrize("name", [*MEANS, "lora"])
def test_weights_one_and_zero_give_the_first(host: Host, batch: Batch, name: str) -> None:
    add(host, "a", name, seed=1)
    add(host, "b", name, seed=2)
    host.add_average("t", ["a", "b"], (1.0, 0.0))
    host.add_average("u", ["a", "b"], (0.0, 1.0))
    assert host._digests(["t", "u"]) == host._digests(["a", "b"])


@pytest.mark.parametrize("name", MEANS)
def test_the_mean_of_every_tensor_by_hand(host: Host, name: str) -> None:
    add(host, "a", name, seed=1)
    add(host, "b", name, seed=2)
    host.add_average("t", ["a", "b"], (0.3, 0.7))
    a, b, mean = host._neutral_state("a"), host._neutral_state("b"), host._neutral_state("t")
    assert set(mean) == set(a)
    for key, tensor in mean.items():
        assert torch.allclose(tensor, 0.3 * a[key] + 0.7 * b[key], atol=1e-6)
    if name == "seq_bn_inv":
        assert any("invertible" in key for key in mean)  # which the library's own mean leaves fresh


def test_a_mean_of_three_whose_values_are_known(host: Host) -> None:
    for n, name in enumerate("abc"):
        host.add_adapter(name, spec_of("seq_bn"), seed=1)
        for tensor in host._adapter_state(name).values():
            tensor.fill_(float(10**n))  # 1, 10, 100
    host.add_average("t", ["a", "b", "c"], (0.5, 0.25, 0.25))
    assert {float(v) for t in host._neutral_state("t").values() for v in t.flatten()} == {28.0}


def test_a_lora_mean_is_that_of_the_updates(host: Host, batch: Batch) -> None:
    add(host, "a", "lora", seed=1, r=4, alpha=12)
    add(host, "b", "lora", seed=2, r=4, alpha=12)
    spec = host.add_average("t", ["a", "b"], (0.3, 0.7))
    assert (spec.config["r"], spec.config["alpha"]) == (8, 24.0)
    a, b, mean = host._neutral_state("a"), host._neutral_state("b"), host._neutral_state("t")
    for key in (key for key in mean if key.endswith("lora_A")):
        other = key.replace("lora_A", "lora_B")
        wanted = 0.3 * (b_a := a[other] @ a[key]) + 0.7 * (b[other] @ b[key])
        assert torch.allclose(mean[other] @ mean[key], wanted, atol=1e-5)
        of_factors = (0.3 * a[other] + 0.7 * b[other]) @ (0.3 * a[key] + 0.7 * b[key])
        assert (of_factors - wanted).norm() > 0.2 * b_a.norm()
    for layer in host.model.base_model.encoder.layer:
        query = layer.attention.self.query.loras
        assert query["t"].scaling == query["a"].scaling == 3.0
    assert not torch.equal(states(host, batch, target="t"), states(host, batch, target="a"))


@pytest.mark.parametrize(
    ("name", "settings"), [("prefix", {}), ("compacter", {}), ("unipelt", {}), ("lora", {"use_gating": True})]
)
def test_methods_without_a_mean(host: Host, name: str, settings: dict[str, object]) -> None:
    for n, short in enumerate("ab"):
        host.add_adapter(short, spec_of(name, **settings), seed=n)
    with pytest.raises(AdapterError, match="no mean"):
        host.add_average("t", ["a", "b"], (0.5, 0.5))
    host.add_average("t", ["a"], (1.0,))  # and the failed one left nothing behind


def test_adapters_of_different_configurations(host: Host) -> None:
    add(host, "a")
    add(host, "b", reduction_factor=8)
    with pytest.raises(AdapterError, match="differ in reduction_factor"):
        host.add_average("t", ["a", "b"], (0.5, 0.5))
    with pytest.raises(AdapterError, match="no adapter 'z' is loaded"):
        host.add_average("t", ["z"], (1.0,))
