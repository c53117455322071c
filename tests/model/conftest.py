"""A host over the tiny encoder, and short ways to make adapters in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adapterstilts.kinds.base import Batch
from adapterstilts.model import backbone, configs
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.host import Host
from tests.model import hostile


def spec_of(name: str, **settings: object) -> AdapterSpec:
    """A named configuration, made to fit hidden size 32 (Compacter: 32 / 8 is a multiple of 4)."""
    fitting = {"compacter": {"reduction_factor": 8}, "prefix": {"bottleneck_size": 8, "prefix_length": 3}}
    small = {"unipelt": {"prefix_tuning.bottleneck_size": 8, "prefix_tuning.prefix_length": 3}}
    return configs.AdapterSpec.load(name, {**fitting.get(name, {}), **small.get(name, {}), **settings})


def disturb(host: Host, name: str, seed: int) -> None:
    """Gives a loaded adapter weights as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in host._adapter_state(name).values():
        tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator))


def add(host: Host, name: str, config: str = "seq_bn", seed: int = 1, **settings: object) -> None:
    """Adds an adapter that does something."""
    host.add_adapter(name, spec_of(config, **settings), seed)
    disturb(host, name, seed)


def states(host: Host, batch: Batch, **setup: object) -> torch.Tensor:
    """Last hidden states under a setup, in evaluation mode."""
    host.activate(ActiveAdapters(**setup), train=False)  # type: ignore[arg-type]
    with torch.no_grad():
        return host.hidden_states(batch, -1)


@pytest.fixture(scope="session")
def shared_host(tiny_backbone: Path) -> Host:
    return Host(backbone.BackboneFiles.locate(str(tiny_backbone)))


@pytest.fixture
def host(shared_host: Host) -> Iterator[Host]:
    shared_host.reset()
    yield shared_host
    shared_host.reset()


@pytest.fixture(scope="session")
def batch(shared_host: Host) -> Batch:
    texts = ["the cat saw Anna in the green house", "a dog ."]
    return dict(shared_host.tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=True))


@pytest.fixture
def hostile_folder(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny backbone, with a module and a package `kernels` that would make the marker."""
    monkeypatch.chdir(tmp_path)
    hostile.fake_kernels(monkeypatch)
    copy = Path(shutil.copytree(tiny_backbone, tmp_path / "copy"))
    (copy / "theirs.py").write_text(hostile.CODE, "utf-8")
    return copy
