"""How much each adapter changes the hidden states, for every composition."""

from __future__ import annotations

import math

import pytest
import torch

from adapterstilts.kinds.base import Batch
from adapterstilts.model.active_adapters import FUSION, ActiveAdapters
from adapterstilts.model.adapter_effect import relative_changes
from adapterstilts.model.host import Host
from tests.model.conftest import add, spec_of, states

CONFIGS = ("seq_bn", "double_seq_bn", "par_bn", "lora", "prefix", "compacter", "unipelt")


def zero(host: Host, name: str) -> None:
    for tensor in host._adapter_state(name).values():
        tensor.zero_()


def test_an_arrangement_is_built_up_from_the_bottom() -> None:
    assert list(ActiveAdapters(head="h").partial_stacks()) == []
    stack = ActiveAdapters(language="l", below=("a", "b"), target="t", head="h")
    assert list(stack.partial_stacks()) == [
        ("l", ActiveAdapters(language="l")),
        ("a", ActiveAdapters(language="l", below=("a",))),
        ("b", ActiveAdapters(language="l", below=("a", "b"))),
        ("t", ActiveAdapters(language="l", below=("a", "b"), target="t")),
    ]
    assert list(ActiveAdapters(fused=("a", "b"), head="h").partial_stacks()) == [
        (FUSION, ActiveAdapters(fused=("a", "b")))
    ]


@pytest.mark.parametrize("config", CONFIGS)
def test_each_method_changes_every_layer_until_it_is_zero(host: Host, batch: Batch, config: str) -> None:
    add(host, "t", config)
    (layers,) = relative_changes(host, ActiveAdapters(target="t"), [batch]).values()
    assert len(layers) == 2 and min(layers) > 1e-3
    if config in ("prefix", "unipelt"):  # empty keys and values still share the attention
        return
    zero(host, "t")
    (layers,) = relative_changes(host, ActiveAdapters(target="t"), [batch]).values()
    assert max(layers) < 1e-6


def test_a_fresh_lora_changes_nothing(host: Host, batch: Batch) -> None:
    host.add_adapter("t", spec_of("lora"), seed=1)
    assert relative_changes(host, ActiveAdapters(target="t"), [batch]) == {"t": [0.0, 0.0]}


def test_in_a_stack_each_adapter_is_measured_over_those_below(host: Host, batch: Batch) -> None:
    add(host, "l", "seq_bn_inv", seed=3)
    add(host, "a", seed=1)
    add(host, "t", seed=2)
    stack = ActiveAdapters(language="l", below=("a",), target="t")
    normal = relative_changes(host, stack, [batch])
    assert list(normal) == ["l", "a", "t"] and min(map(min, normal.values())) > 1e-3
    zero(host, "a")
    changed = relative_changes(host, stack, [batch])
    assert max(changed["a"]) < 1e-6
    assert changed["l"] == pytest.approx(normal["l"]) and min(changed["t"]) > 1e-3


def test_a_fusion_of_adapters_that_do_nothing_does_nothing(host: Host, batch: Batch) -> None:
    for seed, name in enumerate("ab"):
        add(host, name, seed=seed)
    host.add_fusion(("a", "b"), seed=1)
    assert min(relative_changes(host, ActiveAdapters(fused=("a", "b")), [batch])[FUSION]) > 1e-3
    zero(host, "a")
    zero(host, "b")
    assert max(relative_changes(host, ActiveAdapters(fused=("a", "b")), [batch])[FUSION]) < 1e-6


def test_an_adapter_without_layers_changes_nothing(host: Host, batch: Batch) -> None:
    add(host, "t", leave_out=[0])
    first, second = relative_changes(host, ActiveAdapters(target="t"), [batch])["t"]
    assert first == 0.0 and second > 1e-3


def test_the_ratio_by_hand_over_several_batches(host: Host, batch: Batch) -> None:
    add(host, "t")
    mask = batch["attention_mask"].bool()
    before, after = states(host, batch)[mask], states(host, batch, target="t")[mask]
    ratio = float((after - before).norm() / before.norm())
    (layers,) = relative_changes(host, ActiveAdapters(target="t"), [batch]).values()
    assert layers[-1] == pytest.approx(ratio, rel=1e-4)
    rows = []
    for n in range(len(mask)):  # each without its padding
        length = int(mask[n].sum())
        rows.append({name: value[n : n + 1, :length] for name, value in batch.items()})
    (apart,) = relative_changes(host, ActiveAdapters(target="t"), rows).values()
    assert all(math.isclose(one, other, rel_tol=1e-3) for one, other in zip(layers, apart, strict=True))


def test_the_arrangement_is_active_again_afterwards(host: Host, batch: Batch) -> None:
    add(host, "a")
    add(host, "t", seed=2)
    stack = ActiveAdapters(below=("a",), target="t")
    expected = states(host, batch, below=("a",), target="t")
    relative_changes(host, stack, [batch])
    with torch.no_grad():
        assert torch.equal(host.hidden_states(batch, -1), expected)
