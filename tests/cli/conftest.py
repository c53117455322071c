"""Calls the program in this process and gives what it printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs the program in an empty folder, without the settings of whoever runs the tests."""
    for name in ("ADAPTERSTILTS_DATA", "ADAPTERSTILTS_STORE"):
        monkeypatch.delenv(name, raising=False)
    # One core: a grid works in this process, where it would else start several
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0, given: str | None = None) -> Result:
        from adapterstilts.cli.app import app

        found = CliRunner().invoke(app, list(arguments), input=given)
        assert found.exit_code == code, (found.exit_code, found.output, found.exception)
        return found

    return run
