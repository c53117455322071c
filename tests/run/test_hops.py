"""From a verb to the step that does the work: few calls of the package's own, so that a reader finds it.

Counted are the functions of the package that are entered after the verb, up to the call of the library that
works: `optimizer.step`, or the encoder's forward pass. Frames of libraries and comprehensions do not count.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch
from transformers import BertModel
from typer.testing import CliRunner

import adapterstilts
from adapterstilts.cli.app import app

PACKAGE = str(Path(adapterstilts.__file__).parent)
QUICK = ["--max-steps", "1", "--limit", "16", "--holdout", "0"]
GRID = """
intermediate: []
targets: [mini_paraphrase]
languages: [en]
hyperparameters: {max_steps: 1, holdout: 0}
limits: {train: 16, eval: 8}
source: bundled
backbones: BACKBONE
"""


def hops(frame: FrameType | None, verb: str) -> list[str]:
    """Functions of the package from the verb (left out) to the frame, the outermost first."""
    names: list[str] = []
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<"):
            name = f"{Path(code.co_filename).relative_to(PACKAGE)}:{code.co_name}"
            if name == verb:
                return names[::-1]
            names.append(name)
        frame = frame.f_back
    raise AssertionError(f"{verb} is not on the stack: {names[::-1]}")


Stack = list[str]
Watch = Callable[[str, type, str], list[Stack]]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Records the stack of the first call of a method of a library's class."""

    def start(verb: str, owner: type, method: str) -> list[Stack]:
        stacks: list[Stack] = []
        original = getattr(owner, method)

        def recorded(*arguments: object, **named: object) -> object:
            if not stacks:
                stacks.append(hops(sys._getframe(1), verb))
            return original(*arguments, **named)

        monkeypatch.setattr(owner, method, recorded)
        return stacks

    return start


@pytest.fixture
def call(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTERSTILTS_BACKBONE", str(tiny_backbone))
    (tmp_path / "grid.yaml").write_text(GRID.replace("BACKBONE", str(tiny_backbone)), encoding="utf-8")

    def run(*words: str) -> None:
        result = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output

    return run


def test_train_adapter_reaches_the_optimizer_in_five_calls(call: Callable[..., None], watch: Watch) -> None:
    stacks = watch("cli/train.py:train_adapter", torch.optim.AdamW, "step")
    call("train-adapter", "mini_nli", *QUICK)
    assert len(stacks[0]) <= 5, stacks


def test_evaluate_reaches_the_forward_pass_in_six_calls(call: Callable[..., None], watch: Watch) -> None:
    call("train-adapter", "mini_nli", *QUICK)
    stacks = watch("cli/evaluate.py:evaluate", BertModel, "forward")
    call("evaluate", "single-mini_nli", "--languages", "de", "--limit", "8")
    assert len(stacks[0]) <= 6, stacks


def test_grid_run_reaches_the_optimizer_in_nine_calls(call: Callable[..., None], watch: Watch) -> None:
    stacks = watch("cli/grid.py:run", torch.optim.AdamW, "step")
    call("grid", "run", "grid.yaml", "--processes", "1")
    assert len(stacks[0]) <= 9, stacks
