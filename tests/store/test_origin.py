"""The `origin.json` of a run from elsewhere: read in the form that is written, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.errors import DamagedError
from adapterstilts.store.origin import TrainOrigin

BACKBONE = {"name": "me5-small", "commit": None, "fingerprint": "sha256:0", "tokenizer": "0"}
FILE = {"file": "a.tsv", "sha256": "0", "slice": None, "rows": 3}
CREDIT = {"task": "a", "title": "A", "licence": "MIT", "citation": "a", "dataset": None}
WHOLE = {
    "backbone": BACKBONE, "language_adapter": None, "tasks": {"a": {"name": "a"}},
    "data": {"a": {"train": FILE, "dev": {**FILE, "slice": [1, 5]}}},
    "ancestors": {"files": [{"sha256": "0", "slice": [1, 9]}], "unknown": ["b"], "credits": [CREDIT]},
    "pulled": {"repo": "me/a", "commit": "0" * 40},
}  # fmt: skip


def test_as_it_is_written(tmp_path: Path) -> None:
    assert TrainOrigin.read(tmp_path) is None
    (tmp_path / "origin.json").write_text(json.dumps({**WHOLE, "added by a later version": 1}))
    origin = TrainOrigin.require(tmp_path)
    assert origin.model_dump(mode="json") == WHOLE
    origin.write(tmp_path)
    assert TrainOrigin.read(tmp_path) == origin


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
        ({"ancestors": []}, "ancestors"),
        ({"ancestors": {"unknown": [1]}}, "ancestors"),
        ({"ancestors": {"credits": [{"task": "a"}]}}, "ancestors"),
        ({"ancestors": {"credits": [{**CREDIT, "title": "a" * 100_000}]}}, "ancestors"),
        ({"ancestors": {"files": [{"sha256": "0"}]}}, "ancestors"),
        ({"data": {"a": {"train": {**FILE, "slice": "1-5"}}}}, "data"),
        ({"data": {"a": {"train": {"parts": [{"sha256": 1, "slice": None}]}}}}, "data"),
        ({"data": {"a": {"train": {"sha256": "0"}}}}, "data"),
        ({"data": {"a": {"train": {"limit": -1}}}}, "data"),
        ({"data": {"a": {"train": 1}}}, "data"),
        ({"data": {"a": 1}}, "data"),
    ],
)
def test_another_form(changes: dict[str, Any], key: str, tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text(json.dumps({**WHOLE, **changes}))
    with pytest.raises(DamagedError, match=rf"origin.json: {key}") as error:
        TrainOrigin.read(tmp_path)
    assert tmp_path.name in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize("content", ["1e308", "[]", '{"a": NaN}', "{" * 5_000, '{"tasks": {}, "tasks": {}}'])
def test_what_is_no_json_object(content: str, tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text(content)
    with pytest.raises(DamagedError, match=r"origin\.json"):
        TrainOrigin.read(tmp_path)


def test_a_key_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"origin\.json: backbone: is missing"):
        TrainOrigin.read(tmp_path)


def test_a_run_that_needs_its_origin(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"it has no origin\.json"):
        TrainOrigin.require(tmp_path)
