"""What the tests of readers share: a file of a task's form from a text, and a task of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.data.release_files import read
from adapterstilts.data.rows import Row
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task


@pytest.fixture
def read_text(tmp_path: Path) -> Callable[..., list[Row]]:
    """Reads a text, or bytes, as a file of the task's form."""

    def run(task: str, content: str | bytes, language: str = "en", hidden: bool = False) -> list[Row]:
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        entry = get_task(task).model_copy(update={"hidden": hidden})
        return [row for item in read(path, entry, language) for row in item]

    return run


@pytest.fixture
def own_task(tmp_path: Path) -> Callable[..., Task]:
    """Writes a definition and its files, by name, and returns the task."""

    def run(definition: str, **files: str | bytes) -> Task:
        for name, content in files.items():
            path = tmp_path / name.replace("__", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        (tmp_path / "own.yaml").write_text(definition, encoding="utf-8")
        return get_task(str(tmp_path / "own.yaml"))

    return run
