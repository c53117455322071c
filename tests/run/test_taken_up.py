"""A training that is taken up again: its log has every line once, and a damaged checkpoint is set aside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterstilts import TrainingOptions, train_adapter
from adapterstilts.run import checkpoint
from adapterstilts.run import loop as module
from adapterstilts.store import Run, Work

SETTINGS = {"max_steps": 4, "batch_size": 8, "dev_rows": 8, "precision": "fp32"}
TIMES = ("elapsed", "examples_per_second", "seconds")


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def options(store: Path, backbone: Path) -> TrainingOptions:
    return TrainingOptions(
        backbone=str(backbone),
        store=store,
        source="bundled",
        limit=40,
        hyperparameters=SETTINGS,
        checkpoint_steps=1,
    )


def log_of(run: Run) -> list[dict[str, Any]]:
    """The lines of a log without what differs from one run to the next."""
    lines = (run.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]


def weights(run: Run) -> dict[str, bytes]:
    return {str(path.relative_to(run.path)): path.read_bytes() for path in run.path.rglob("*.safetensors")}


@pytest.fixture(scope="module")
def whole(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of a training that nothing disturbed."""
    return train_adapter("mini_nli", options(tmp_path_factory.mktemp("whole"), tiny_backbone))


@pytest.fixture(scope="module")
def killed(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose only training was killed after the last line of its log and before publishing."""
    store = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Work, "publish", lambda *_: (_ for _ in ()).throw(Killed))
        train_adapter("mini_nli", options(store, tiny_backbone))
    return store


@pytest.fixture
def store(killed: Path, tmp_path: Path) -> Path:
    """A copy of that store."""
    return Path(shutil.copytree(killed, tmp_path / "store"))


def checkpoint_in(store: Path) -> Path:
    (found,) = store.glob(".work/*/checkpoint.safetensors")
    return found


def test_a_kill_before_publishing_repeats_no_line(whole: Run, store: Path, tiny_backbone: Path) -> None:
    again = train_adapter("mini_nli", options(store, tiny_backbone))
    assert log_of(again) == log_of(whole)
    assert weights(again) == weights(whole)


def test_a_kill_while_the_log_is_cut_back_loses_no_line(
    whole: Run, store: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second kill comes at the first line that is written after the log was opened."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(module.Log, "write", lambda *_: (_ for _ in ()).throw(Killed))
        train_adapter("mini_nli", options(store, tiny_backbone))
    assert log_of(train_adapter("mini_nli", options(store, tiny_backbone))) == log_of(whole)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def rewrite(path: Path, state: str, tensors: dict[str, torch.Tensor]) -> None:
    """Writes another checkpoint, whose checksum fits."""
    save_file(tensors, path, metadata={"state": state, "sha256": checkpoint._sha256(state, tensors)})


def of_another_model(path: Path) -> None:
    smaller = {name: value[..., :-1] if value.ndim else value for name, value in load_file(path).items()}
    state = '{"step": 1, "best_score": null, "best_step": null, "best_metrics": {}, "worse": 0}'
    rewrite(path, state, {name: value.contiguous() for name, value in smaller.items()})


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "a flipped bit in a tensor": lambda path: flip(path, -1000),
    "a flipped bit in the header": lambda path: flip(path, 20),
    "no position": lambda path: rewrite(path, "{}", load_file(path)),
    "a position that is text": lambda path: rewrite(path, '{"step": "many"}', load_file(path)),
    "nested too deep": lambda path: rewrite(path, "[" * 100_000, load_file(path)),
    "of another model": of_another_model,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_set_aside(
    how: str, whole: Run, store: Path, tiny_backbone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGE[how](checkpoint_in(store))
    again = train_adapter("mini_nli", options(store, tiny_backbone))
    said = " ".join(capsys.readouterr().err.split())
    assert "it was renamed to checkpoint.damaged, and this training starts again" in said
    assert "resuming from step" not in said
    assert weights(again) == weights(whole)
    assert log_of(again) == log_of(whole)
    assert not list(store.glob(".work/*"))


def test_a_damaged_line_of_the_log_is_said(
    whole: Run, store: Path, tiny_backbone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (log,) = store.glob(".work/*/out/log.jsonl")
    log.write_bytes(b"\xff\x00{\n" + log.read_bytes())
    again = train_adapter("mini_nli", options(store, tiny_backbone))
    assert "line 1 is damaged and was removed" in " ".join(capsys.readouterr().err.split())
    assert log_of(again) == log_of(whole)
