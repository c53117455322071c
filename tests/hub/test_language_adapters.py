"""`--language-adapter` from the Hub: the checks of `pull`, and nothing of a refused one is loaded."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load, save

from adapterstilts.errors import StiltsError
from adapterstilts.hub.publish import write
from adapterstilts.model import configs
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.host import Host
from adapterstilts.run.language_adapters import find_language_adapter
from adapterstilts.store import Store
from tests.hub.conftest import Runs
from tests.hub.fake_hub.forging import WEIGHTS, Files, changed_json, forged, written
from tests.hub.fake_hub.server import Hub

REPO = "you/mlm-sw"
CONFIG = "adapter_config.json"
Change = Callable[[Any], Any]


class Explosive:
    """A pickle of it would make a file where it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return open, ("exploded", "w")


@pytest.fixture(scope="module")
def files(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """An adapter as the `adapters` library saves it."""
    host = Host(BackboneFiles.locate(str(tiny_backbone)))
    host.add_adapter("sw", configs.AdapterSpec.load("seq_bn_inv"), seed=1)
    folder = tmp_path_factory.mktemp("saved")
    host.save_adapter("sw", folder)
    return {name: content for name, content in written(folder).items() if name != "adapter.json"}


def refused(hub: Hub, me: Path, files: Files, message: str) -> None:
    hub.put("models", REPO, files)
    with pytest.raises(StiltsError, match=message) as error:
        find_language_adapter("you/mlm-{lang}", "sw", Store(me))
    assert len(str(error.value)) < 1000 and not Path("exploded").exists()


def test_an_honest_one_is_taken_and_stays_in_the_cache(
    hub: Hub, me: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("models", REPO, files)
    folder = find_language_adapter("you/mlm-{lang}", "sw", Store(me))
    assert folder is not None and (folder / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert list(Store(me).scan()) == []
    asked = len(hub.log)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert find_language_adapter(REPO, "sw", Store(me)) == folder
    assert len(hub.log) == asked


def test_what_the_cache_holds_is_checked_too(
    hub: Hub, me: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("models", REPO, files)
    folder = find_language_adapter(REPO, "sw", Store(me))
    assert folder is not None
    weights = {name: value * torch.nan for name, value in load(files[WEIGHTS]).items()}
    (folder / WEIGHTS).resolve().write_bytes(save(weights))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StiltsError, match="holds NaN or infinity"):
        find_language_adapter(REPO, "sw", Store(me))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pytorch_adapter.bin", pickle.dumps(Explosive()), r"can run code .*download it and pass the folder"),
        ("modeling.py", b"open('exploded', 'w')", "is code, which is never run"),
        ("../escaped.json", b"{}", "leads out of its folder"),
        ("other.json", b"{}", "is not a file of an adapter"),
    ],
)
def test_unexpected_files(name: str, content: bytes, message: str, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, {**files, name: content}, message)
    assert not hub.calls("GET", f"/resolve/.*{name[3:]}"), "it is not even downloaded"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(auto_map={"AutoModel": "evil.Model"}), "requires custom code"),
        (lambda data: data.update(base_model_name_or_path="you/evil"), "names a repository or a path"),
        (lambda data: data.update(extra={"deep": [{"kernel": "you/evil"}]}), "names code"),
        (lambda data: data.update(homepage="http://evil.example/x"), "names a URL"),
        (lambda data: data.update(notes="evil.payload.run"), "names a module"),
        (lambda data: data.update(hidden_size="32"), "hidden_size: should be a whole number"),
        (lambda data: data.update(hidden_size=10**12), "hidden_size: should be a whole number"),
        (lambda data: data.update(model_type=["bert"]), "model_type: should be a text"),
    ],
)
def test_configurations(change: Change, message: str, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, {**files, CONFIG: changed_json(files[CONFIG], change)}, message)


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b"[" * 100_000, b'{"a": NaN}', b'{"a": 1, "a": 2}', b'{"a": "\\ud800"}']
)
def test_configurations_that_are_no_json(content: bytes, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, {**files, CONFIG: content}, f"is refused: {CONFIG}")


def test_harmless_unknown_keys_are_dropped_and_said(
    hub: Hub, me: Path, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    config = changed_json(files[CONFIG], lambda data: data.update(mood="cheerful", size=3))
    hub.put("models", REPO, {**files, CONFIG: config})
    assert find_language_adapter(REPO, "sw", Store(me))
    assert (
        "unknown settings in configuration files: adapter_config.json: mood, adapter_config.json: size"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {name: value.double() * 1e300 for name, value in state.items()}, "type 'F64'"),
        (lambda state: {name: value.to(torch.float8_e5m2) for name, value in state.items()}, "'F8_E5M2'"),
        (lambda state: {name: torch.tensor(1.0) for name in state}, "is a single number"),
        (lambda state: {name: value * torch.inf for name, value in state.items()}, "NaN or infinity"),
    ],
)
def test_weights(change: Change, message: str, hub: Hub, me: Path, files: Files) -> None:
    state = {name: value.clone() for name, value in load(files[WEIGHTS]).items()}
    refused(hub, me, {**files, WEIGHTS: save(change(state))}, message)


def test_what_is_no_language_adapter(hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, {"README.md": b"# x"}, "is not an adapter of the adapters library")
    refused(hub, me, {}, "is not an adapter of the adapters library")
    with pytest.raises(
        StiltsError, match=r"'you/nothing' is not a folder, and on the Hub: .*does not exist or is private"
    ):
        find_language_adapter("you/nothing", "sw", Store(me))


def test_a_run_that_lies(hub: Hub, me: Path, trained: Runs, tmp_path: Path) -> None:
    """A run of this toolkit goes through its own checks, and leaves nothing in the store."""
    write(trained["single"].id, REPO, tmp_path / "single", trained["single"].path.parent)
    files = written(tmp_path / "single")
    hub.put("models", REPO, forged(files))
    assert find_language_adapter(REPO, "sw", Store(me))
    job = json.loads(files["run/job.json"])
    job["adapter"]["reduction_factor"] = 2.0
    lying = forged({**files, "run/job.json": json.dumps(job).encode()})
    refused(hub, me, lying, "the adapter in its job is")
    write(trained["stack"].id, REPO, tmp_path / "stack", trained["single"].path.parent)
    refused(hub, me, forged(written(tmp_path / "stack")), "was built on other adapters")
    assert list(Store(me).scan()) == []
