"""A built wheel works in a fresh environment, outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree without downloading anything."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed program. Its environment sees this one's libraries, but not the repository."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    (site,) = (folder / "lib").glob("python*/site-packages")
    libraries = sysconfig.get_path("purelib")
    (site / "libraries.pth").write_text(f"import sys; sys.path.append({libraries!a})\n", encoding="utf-8")
    return folder / "bin" / "adapterstilts"


def output(program: Path, folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_configs_bundled_data_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {
        f"adapterstilts/adapter_configs/{path.name}" for path in (ROOT / "adapter_configs").glob("*.yaml")
    }
    bundled = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "adapterstilts" / "data" / "mini").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    grids = {f"adapterstilts/grids/{path.name}" for path in (ROOT / "grids").glob("*.yaml")}
    assert configs and configs <= names
    assert grids and grids <= names
    assert bundled and bundled <= names
    assert {"adapterstilts/py.typed", "adapterstilts/hub/card.md"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "scripts/", "checkpoints/")) for name in names)


def test_the_installed_program_lists_tasks_and_configs(program: Path, tmp_path: Path) -> None:
    tasks = json.loads(output(program, tmp_path, "tasks", "--json"))
    assert {"xnli", "squad_v1"} <= {task["name"] for task in tasks}
    for name in [task["name"] for task in tasks if task["role"] == "demo"]:
        task = json.loads(output(program, tmp_path, "tasks", "show", name, "--json"))
        assert "de" in task["available"]["test"], name
    configs = json.loads(output(program, tmp_path, "configs", "--json"))
    assert configs[0]["name"] == "seq_bn"
    assert len(configs) == len(list((ROOT / "adapter_configs").glob("*.yaml")))


def test_the_installed_program_is_not_the_repository(program: Path, tmp_path: Path) -> None:
    code = "import adapterstilts; print(adapterstilts.__file__)"
    place = output(program.with_name("python"), tmp_path, "-c", code)
    assert Path(place.strip()).is_relative_to(program.parents[1])
