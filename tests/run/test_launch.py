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
from typer.testing import CliRunner

from adapterstilts.cli.app import app
from adapterstilts.store import Run, Store

ROOT = Path(__file__).parents[2]
LAUNCH = (
    "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no "
    "--dynamo_backend no --main_process_port 0 -m adapterstilts"
).split()
# 33 rows: the last batch of each epoch has one, so that one process has none
TRAIN = (
    "train-adapter mini_nli --epochs 8 --source bundled --limit 33 --batch-size 8 --eval-every 15 "
    "--checkpoint-steps 2 --accumulation 2 --precision fp32 --json"
).split()
STEPS = 40


@pytest.fixture(scope="module")
def still_backbone(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder without dropout: processes draw other masks than one process does."""
    folder = Path(shutil.copytree(tiny_backbone, tmp_path_factory.mktemp("still") / "backbone"))
    config = json.loads((folder / "config.json").read_text())
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    (folder / "config.json").write_text(json.dumps({**config, **off}))
    return folder


@pytest.fixture(scope="module")
def launched(still_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """The run of an undisturbed launch of two processes, and its messages."""
    return trained(still_backbone, tmp_path_factory.mktemp("launched") / "store")


def arguments(backbone: Path, store: Path) -> list[str]:
    return [*TRAIN, "--backbone", str(backbone), "-C", str(store)]


def launch(backbone: Path, store: Path) -> subprocess.Popen[str]:
    call = [sys.executable, *LAUNCH, *arguments(backbone, store)]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        call, cwd=store.parent, env=settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def trained(backbone: Path, store: Path) -> tuple[Run, str]:
    """The only run of the store after a launch, and its messages."""
    child = launch(backbone, store)
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
def test_two_processes_train_what_one_does(
    launched: tuple[Run, str], still_backbone: Path, tmp_path: Path
) -> None:
    two, messages = launched
    done = CliRunner().invoke(app, arguments(still_backbone, tmp_path / "one"))
    assert done.exit_code == 0, done.output
    (one,) = Store(tmp_path / "one").scan()
    assert isinstance(one, Run)
    assert messages.count("mini_nli: 33 rows") == messages.count("in 2 processes") == 1
    assert two.id == one.id
    assert two.metrics["steps"] == one.metrics["steps"] == STEPS
    for path in sorted(one.path.rglob("*.safetensors")):
        tensors = load_file(two.path / path.relative_to(one.path))
        for name, value in load_file(path).items():
            np.testing.assert_allclose(tensors[name], value, atol=2e-5, err_msg=f"{path.name} {name}")


@pytest.mark.slow
def test_a_launch_that_was_stopped_or_killed_goes_on(
    launched: tuple[Run, str], still_backbone: Path, tmp_path: Path
) -> None:
    whole, _ = launched
    store = tmp_path / "stopped"
    for how in (signal.SIGTERM, signal.SIGKILL):
        stop_after_a_checkpoint(launch(still_backbone, store), store, how)
    again, messages = trained(still_backbone, store)
    assert "resuming from step" in messages
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


def test_a_grid_is_not_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    done = CliRunner().invoke(app, ["grid", "run", "quick"])
    assert done.exit_code == 2
    assert "without `accelerate launch`" in done.stderr
