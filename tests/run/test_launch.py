"""Two processes of `accelerate launch` train what one does, and one result comes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from adapterstilts.store import Run, Store

ROOT = Path(__file__).parents[2]
LAUNCH = (
    "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no "
    "--dynamo_backend no --main_process_port 0 -m adapterstilts"
).split()
ONE = ["-m", "adapterstilts"]
# 33 rows: the last batch of each epoch has one, so that one process has none
TRAIN = (
    "--source bundled --limit 33 --batch-size 8 --eval-every 15 --checkpoint-steps 2 --accumulation 2 "
    "--precision fp32 --json"
).split()


@pytest.fixture
def still_backbone(tiny_backbone: Path, tmp_path: Path) -> Path:
    """The tiny encoder without dropout: processes draw other masks than one process does."""
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))
    config = json.loads((folder / "config.json").read_text())
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    (folder / "config.json").write_text(json.dumps({**config, **off}))
    return folder


def program(how: list[str], epochs: int, backbone: Path, store: Path) -> subprocess.Popen[str]:
    where = ["--backbone", str(backbone), "-C", str(store)]
    call = [sys.executable, *how, "train-adapter", "mini_nli", "--epochs", str(epochs), *TRAIN, *where]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        call, cwd=store.parent, env=settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def trained(how: list[str], epochs: int, backbone: Path, store: Path) -> tuple[Run, str]:
    """The only run of the store afterwards, and what was said."""
    child = program(how, epochs, backbone, store)
    try:
        out, err = child.communicate(timeout=900)
    finally:
        child.terminate()  # after a time-out; its processes end with it
    assert child.returncode == 0, err
    assert len(out.splitlines()) == 1, out  # one process printed
    (run,) = Store(store).scan()
    assert isinstance(run, Run)
    assert json.loads(out)["id"] == run.id
    assert Store(store).unfinished() == []
    return run, err


@pytest.mark.slow
def test_two_processes_train_what_one_does(still_backbone: Path, tmp_path: Path) -> None:
    one, _ = trained(ONE, 3, still_backbone, tmp_path / "one")
    two, said = trained(LAUNCH, 3, still_backbone, tmp_path / "two")
    assert said.count("mini_nli: 33 rows") == said.count("in 2 processes") == 1
    assert two.id == one.id
    assert two.metrics["steps"] == one.metrics["steps"] == 15
    for path in sorted(one.path.rglob("*.safetensors")):
        tensors = load_file(two.path / path.relative_to(one.path))
        for name, value in load_file(path).items():
            np.testing.assert_allclose(tensors[name], value, atol=2e-5, err_msg=f"{path.name} {name}")


@pytest.mark.slow
def test_a_launch_that_was_stopped_or_killed_goes_on(tiny_backbone: Path, tmp_path: Path) -> None:
    whole, _ = trained(LAUNCH, 30, tiny_backbone, tmp_path / "whole")
    store = tmp_path / "stopped"
    for how in (signal.SIGTERM, signal.SIGKILL):
        stop_after_a_checkpoint(program(LAUNCH, 30, tiny_backbone, store), store, how)
    again, said = trained(LAUNCH, 30, tiny_backbone, store)
    assert "going on from step" in said
    for path in sorted(whole.path.rglob("*.safetensors")):
        assert path.read_bytes() == (again.path / path.relative_to(whole.path)).read_bytes()


def stop_after_a_checkpoint(child: subprocess.Popen[str], store: Path, how: signal.Signals) -> None:
    """Sends SIGTERM to the launcher, SIGKILL to the leading process (whose end the launcher sees)."""
    began = time.time()
    while not any(path.stat().st_mtime > began for path in store.glob(".work/*/checkpoint.safetensors")):
        assert child.poll() is None, child.communicate()
        time.sleep(0.005)
    (lock,) = store.glob(".work/*.lock")
    os.kill(child.pid if how == signal.SIGTERM else int(lock.read_text()), how)
    child.communicate(timeout=300)
    assert not list(Store(store).scan()), "it was through before it could be stopped"


@pytest.mark.slow
def test_a_grid_is_not_launched(tmp_path: Path) -> None:
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "WORLD_SIZE": "2", "RANK": "0"}
    call = [sys.executable, "-m", "adapterstilts", "grid", "run", "quick"]
    found = subprocess.run(call, cwd=tmp_path, env=settings, text=True, capture_output=True, check=False)
    assert found.returncode == 2
    assert "without `accelerate launch`" in found.stderr
