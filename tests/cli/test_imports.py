"""The quick verbs load none of the large libraries, and the slow ones load them only in their bodies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LARGE = {
    "torch",
    "transformers",
    "datasets",
    "pandas",
    "adapters",
    "accelerate",
    "pyarrow",
    "faiss",
    "sklearn",
}
REPORT = """
import sys, runpy
sys.argv = ["adapterstilts", *sys.argv[1:]]
try:
    runpy.run_module("adapterstilts", run_name="__main__", alter_sys=False)
except SystemExit as end:
    assert end.code in (0, None), end.code
import json
print("\\n" + json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""
QUICK = [
    ["--help"], ["tasks"], ["tasks", "show", "xnli", "--json"], ["tasks", "check", "--help"],
    ["backbones"], ["configs"], ["runs"],
    ["grid", "plan", "quick", "--no-calibrate"], ["grid", "status", "quick"], ["grid", "table", "quick"],
    ["doctor", "--help"], ["train-adapter", "--help"], ["evaluate", "--help"], ["demo", "--help"],
]  # fmt: skip


def loaded(arguments: list[str], folder: Path) -> set[str]:
    """Top-level modules that are loaded after a verb has run in a process of its own."""
    root = str(Path(__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", REPORT, *arguments],
        cwd=folder, env={"PYTHONPATH": root, "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return set(json.loads(found.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_a_quick_verb_loads_no_large_library(arguments: list[str], tmp_path: Path) -> None:
    assert loaded(arguments, tmp_path) & LARGE == set()


def test_the_check_sees_a_large_library(tmp_path: Path) -> None:
    assert "torch" in loaded(["doctor", "--offline"], tmp_path)


def test_the_package_itself_loads_nothing(tmp_path: Path) -> None:
    code = "import sys, adapterstilts as a; print(a.__version__, *{'torch', 'pydantic'} & set(sys.modules))"
    root = str(Path(__file__).parents[2])
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "0.1.0\n"


def test_the_package_offers_the_python_api() -> None:
    import adapterstilts
    from adapterstilts.run.train import train_adapter

    assert adapterstilts.train_adapter is train_adapter
    assert all(callable(getattr(adapterstilts, name)) for name in adapterstilts.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = adapterstilts.nothing
