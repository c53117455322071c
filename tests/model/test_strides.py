"""Linear layers receive dense inputs: a CPU that computes bf16 is a hundred times slower on strided views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from adapterstilts.kinds.base import Batch, HeadSpec
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from tests.model.conftest import add

LABELS = {"classification": ("x", "y"), "tagging": ("x", "y"), "span": (), "choice": ()}


def is_matrix(rows: torch.Tensor) -> bool:
    """Whether a linear layer can read all rows as one matrix, without a copy."""
    try:
        rows.view(-1, rows.shape[-1])
    except RuntimeError:
        return False
    return rows.stride(-1) == 1


def is_dense(operand: torch.Tensor) -> bool:
    """Whether a product can read the operand, or its transpose, from one block of memory."""
    return operand.is_contiguous() or operand.transpose(-1, -2).is_contiguous()


class LinearInputs(TorchFunctionMode):
    """Collects the inputs of linear layers that are not matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.strided: list[tuple[int, ...]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.nn.functional.linear:
            self.calls += 1
            if not is_matrix(args[0]):
                self.strided.append(args[0].stride())
        return function(*args, **(kwargs or {}))


class Products(TorchDispatchMode):
    """Collects the operands of matrix products that are not dense, also those of a backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.strided: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            self.calls += 1
            matrices = [arg for arg in args if isinstance(arg, torch.Tensor) and arg.dim() > 1]
            self.strided += [arg.stride() for arg in matrices if not is_dense(arg)]
        return function(*args, **(kwargs or {}))


def add_fusion(host: Host, folder: Path) -> ActiveAdapters:
    add(host, "a")
    add(host, "b", seed=2)
    host.add_fusion(("a", "b"), seed=1)
    return ActiveAdapters(fused=("a", "b"))


def load_fusion(host: Host, folder: Path) -> ActiveAdapters:
    setup = add_fusion(host, folder)
    host.save_fusion(setup.fused, folder)
    host.remove("a")
    add(host, "a")
    host.load_fusion(folder, setup.fused)
    return setup


def add_fusion_over_language(host: Host, folder: Path) -> ActiveAdapters:
    add(host, "l", "seq_bn_inv", seed=3)
    return ActiveAdapters(language="l", fused=add_fusion(host, folder).fused)


def add_stack(host: Host, folder: Path) -> ActiveAdapters:
    add(host, "l", "seq_bn_inv", seed=3)
    add(host, "a")
    add(host, "b", seed=2)
    return ActiveAdapters(language="l", below=("a",), target="b")


def single(config: str) -> Callable[[Host, Path], ActiveAdapters]:
    def arrange(host: Host, folder: Path) -> ActiveAdapters:
        add(host, "a", config)
        return ActiveAdapters(target="a")

    return arrange


FUSIONS = {"fuse": add_fusion, "fuse, loaded": load_fusion, "fuse over language": add_fusion_over_language}
SINGLE = ("double_seq_bn", "par_bn", "lora", "ia3", "prefix", "compacter", "unipelt")
ARRANGEMENTS = {**FUSIONS, "stack": add_stack, **{config: single(config) for config in SINGLE}}


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_linear_layers_read_matrices(host: Host, batch: Batch, tmp_path: Path, name: str) -> None:
    setup = ARRANGEMENTS[name](host, tmp_path)
    for head, labels in LABELS.items():
        host.add_head(head, HeadSpec(head, labels), seed=1)
        for train in (False, True):
            host.activate(
                ActiveAdapters(setup.language, setup.below, setup.fused, setup.target, head), train=train
            )
            with LinearInputs() as linear, torch.set_grad_enabled(train):
                host.forward(batch, head)
            assert linear.calls > 8
            assert linear.strided == [], (head, train)


@pytest.mark.parametrize("name", FUSIONS)
def test_products_of_a_fusion_read_dense_operands(
    host: Host, batch: Batch, tmp_path: Path, name: str
) -> None:
    setup = FUSIONS[name](host, tmp_path)
    for train in (False, True):
        host.activate(setup, train=train)
        (layer, *_) = [m for key, m in host.model.named_modules() if key.endswith("fusion_layer.a,b")]
        states = torch.randn(2, 5, 32, requires_grad=train)
        stacked = torch.stack([states, 2 * states]).permute(1, 2, 0, 3)
        assert not is_matrix(stacked)
        with Products() as products, torch.set_grad_enabled(train):
            output = layer(states, stacked, stacked, states)
            if train:
                output.pow(2).sum().backward()
        assert products.calls >= (15 if train else 5)
        assert products.strided == []


def test_a_fusion_computes_the_same_on_dense_inputs(host: Host, batch: Batch, tmp_path: Path) -> None:
    host.activate(add_fusion(host, tmp_path), train=False)
    (layer, *_) = [m for key, m in host.model.named_modules() if key.endswith("fusion_layer.a,b")]
    states = torch.randn(2, 5, 32)
    stacked = torch.stack([states, 2 * states, -states]).permute(1, 2, 0, 3)
    with torch.no_grad():
        plain = type(layer).forward(layer, states, stacked, stacked, states)
        assert torch.allclose(layer(states, stacked, stacked, states), plain, atol=1e-6)
