"""The `origin.json` of a run from elsewhere: read in the form that is written, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.errors import DamagedError
from adapterstilts.store.origin import read_origin

BACKBONE = {"name": "me5-small", "commit": None, "fingerprint": "sha256:0", "tokenizer": "0"}
FILE = {"file": "a.tsv", "sha256": "0", "slice": None, "rows": 3}
CREDIT = {"task": "a", "title": "A", "licence": "MIT", "citation": "a", "dataset": None}
WHOLE = {
    "backbone": BACKBONE, "language_adapter": None, "tasks": {"a": {"name": "a"}}, "train": FILE,
    "dev": {**FILE, "slice": [1, 5]}, "before": {"parts": [FILE], "unknown": ["b"], "credits": [CREDIT]},
    "pulled": {"repo": "me/a", "commit": "0" * 40},
}  # fmt: skip


def test_as_it_is_written(tmp_path: Path) -> None:
    assert read_origin(tmp_path) == {}
    (tmp_path / "origin.json").write_text(json.dumps(WHOLE))
    assert read_origin(tmp_path, "backbone", "language_adapter") == WHOLE


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"backbone": [1]}, "backbone"),
        ({"backbone": {"name": 1, "commit": None}}, "backbone"),
        ({"backbone": {"commit": None}}, "backbone"),
        ({"backbone": {**BACKBONE, "name": "a" * 100_000}}, "backbone"),
        ({"tasks": 1e308}, "tasks"),
        ({"tasks": {"a": None}}, "tasks"),
        ({"language_adapter": {"a": 1}}, "language_adapter"),
        ({"pulled": {"repo": ["x"], "commit": "y"}}, "pulled"),
        ({"pulled": {"repo": "x"}}, "pulled"),
        ({"before": []}, "before"),
        ({"before": {"unknown": [1]}}, "before"),
        ({"before": {"credits": [{"task": "a"}]}}, "before"),
        ({"train": {**FILE, "slice": "1-5"}}, "a record of a file"),
        ({"train": [{"sha256": 1, "slice": None}]}, "a record of a file"),
        ({"train": {"sha256": "0"}}, "a record of a file"),
        ({"limit": -1}, "limit"),
        ({"train": 1}, "train"),
    ],
)
def test_another_form(changes: dict[str, Any], key: str, tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text(json.dumps({**WHOLE, **changes}))
    with pytest.raises(DamagedError, match=rf"origin.json: '?{key}'? is not what it should be") as error:
        read_origin(tmp_path)
    assert tmp_path.name in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize("content", ["1e308", "[]", '{"a": NaN}', "{" * 5_000, '{"tasks": {}, "tasks": {}}'])
def test_what_is_no_json_object(content: str, tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text(content)
    with pytest.raises(DamagedError, match=r"origin\.json"):
        read_origin(tmp_path)


def test_a_key_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"origin\.json: it has no 'backbone'"):
        read_origin(tmp_path, "backbone")
