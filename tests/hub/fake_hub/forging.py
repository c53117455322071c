"""Repositories as a careful attacker makes them: all that can be signed anew fits what is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterstilts.errors import StiltsError
from adapterstilts.hub.layout import run_paths
from adapterstilts.hub.pull import pull
from adapterstilts.store import Store
from adapterstilts.values import digest
from tests.hub.fake_hub.server import Hub

REPO = "you/adapter"
WEIGHTS = "adapter.safetensors"
Files = dict[str, bytes]


def signed(files: Files) -> Files:
    """The same with a card that gives the checksums of what is there now, as a careful attacker would."""
    _, front, text = files["README.md"].decode().split("---\n", 2)
    data = yaml.safe_load(front)
    known = {name: content for name, content in files.items() if name not in ("README.md", ".gitattributes")}
    data["adapterstilts"]["sha256"] = {name: sha256(content).hexdigest() for name, content in known.items()}
    return {**files, "README.md": f"---\n{yaml.safe_dump(data)}---\n{text}".encode()}


def forged(files: Files) -> Files:
    """The same with a manifest, a key and a card that all fit what is there now: only its sense is wrong."""
    job = json.loads(files["run/job.json"])
    job["key"] = digest({name: value for name, value in job.items() if name != "key"})
    files = {**files, "run/job.json": json.dumps(job).encode()}
    setup = json.loads(files["run/active_adapters.json"])["adapters"]
    own = {
        inside: files[name] for name, inside in run_paths(files, setup).items() if inside != "manifest.json"
    }
    entries = {name: {"sha256": sha256(each).hexdigest(), "size": len(each)} for name, each in own.items()}
    files = {**files, "run/manifest.json": json.dumps({"files": entries}).encode()}
    _, front, text = files["README.md"].decode().split("---\n", 2)
    data = yaml.safe_load(front)
    data["adapterstilts"]["key"] = job["key"]
    return signed({**files, "README.md": f"---\n{yaml.safe_dump(data)}---\n{text}".encode()})


def changed_json(content: bytes, change: Callable[[Any], None]) -> bytes:
    data = json.loads(content)
    change(data)
    return json.dumps(data).encode()


def refused(hub: Hub, me: Path, files: Files, message: str, **listed: int) -> None:
    hub.put("models", REPO, files, listed_sizes=listed or None)
    with pytest.raises(StiltsError, match=message) as error:
        pull(REPO, me)
    assert len(str(error.value)) < 1000
    assert list(Store(me).scan()) == [] and not list(me.glob(".work/*/out"))
    assert not list(me.parent.rglob("evil*")) and not Path("exploded").exists()


def written(folder: Path) -> Files:
    """The files of a folder that was written to be uploaded."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
