"""The documentation's commands: all of them parse, and those marked `run` run, in order."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)( run)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path, only_run: bool = False) -> list[str]:
    """The `adapterstilts` lines of a page's shell blocks."""
    blocks = [
        (found[2], found[3].replace("\\\n", " "))
        for found in BLOCK.finditer(page.read_text())
        if found[1] == "sh"
    ]
    lines = [line for run, block in blocks if run or not only_run for line in block.splitlines()]
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


def test_commands_marked_run_do_run(app, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTERSTILTS_BACKBONE", str(tiny_backbone))
    lines = [line for page in PAGES for line in commands(page, only_run=True)]
    assert len(lines) >= 8
    for line in lines:
        result = CliRunner().invoke(app, arguments(line), catch_exceptions=False)
        assert result.exit_code == 0, f"{line}\n{result.output}"


def test_python_examples_run(tiny_backbone, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "python.md").read_text()
    (code,) = [found[3] for found in BLOCK.finditer(text) if found[1] == "python"]
    patched = code.replace("TrainingOptions(", f'TrainingOptions(backbone="{tiny_backbone}", ')
    exec(compile(patched, "docs/python.md", "exec"), {})
    assert capsys.readouterr().out.strip().splitlines()[-1] in ("paraphrase", "different")


def test_links_between_pages_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
