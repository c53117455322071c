"""Backbones of the Hub, and the program as a whole against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hub.conftest import Env, Outside
from tests.hub.fake_hub.releases import multi_nli, xnli
from tests.hub.fake_hub.server import Hub

LOCATE = """
import json, sys
from dataclasses import asdict
from adapterstilts.errors import StiltsError
from adapterstilts.model.backbone import BackboneFiles

told = []
for name, revision in json.loads(sys.argv[1]):
    try:
        told.append(asdict(BackboneFiles.locate(name, revision)))
    except StiltsError as error:
        told.append({"error": f"{type(error).__name__}: {error}"})
print(json.dumps(told, default=str))
"""
TINY = "me/tiny-bert"


def locate(outside: Outside, env: Env, *cases: tuple[str, str | None]) -> list[dict[str, Any]]:
    """What locating each (name, revision) gives in a process of its own."""
    told: list[dict[str, Any]] = json.loads(outside(["-c", LOCATE, json.dumps(cases)], env).stdout)
    return told


@pytest.fixture
def files(tiny_backbone: Path) -> dict[str, bytes]:
    """The tiny encoder's files, and some that must not be fetched."""
    found = {path.name: path.read_bytes() for path in tiny_backbone.iterdir()}
    return {**found, "modeling_tiny.py": b"raise SystemExit('it ran')", "pytorch_model.bin": b"a pickle"}


def with_json(files: dict[str, bytes], name: str, **values: object) -> dict[str, bytes]:
    """The files with values added to one of them."""
    return {**files, name: json.dumps({**json.loads(files[name]), **values}).encode()}


def test_a_backbone_is_fetched_pinned_and_kept(
    hub: Hub, hub_env: Env, outside: Outside, files: dict[str, bytes]
) -> None:
    first = hub.put("models", TINY, with_json(files, "config.json", layer_norm_eps=1e-3), "v1")
    head = hub.put("models", TINY, files)
    found = locate(outside, hub_env, (TINY, None), (TINY, "v1"), (TINY, first))
    assert [each["commit"] for each in found] == [head, first, first]
    assert [each["fingerprint"] for each in found] == [f"hub:{each['commit']}" for each in found]
    assert found[0]["model_type"] == "bert" and found[0]["hidden_size"] == 32
    assert not hub.calls("GET", r"\.(py|bin)$")
    asked = len(hub.log)
    offline = locate(outside, {**hub_env, "HF_HUB_OFFLINE": "1"}, (TINY, None), (TINY, "v1"), (TINY, "v2"))
    assert offline[:2] == found[:2]
    assert "is not cached and the Hub cannot be reached" in offline[2]["error"]
    assert len(hub.log) == asked


def test_what_is_refused(hub: Hub, hub_env: Env, outside: Outside, files: dict[str, bytes]) -> None:
    unsafe = {name: content for name, content in files.items() if not name.endswith(".safetensors")}
    hub.put("models", TINY, files)
    hub.put("models", "me/pickle", unsafe)
    hub.put("models", "me/nothing", {"README.md": b""})
    code = {"AutoModel": "modeling_tiny.Tiny"}
    hub.put("models", "me/code", with_json(files, "config.json", auto_map=code))
    hub.put("models", "me/code-too", with_json(files, "tokenizer_config.json", auto_map=code))
    hub.put("models", "me/t5", with_json(files, "config.json", model_type="t5"))
    hub.put("models", "you/secret", files, private=True)
    hub.put("models", "me/cut", files)
    hub.stop("me/cut/.*safetensors", after=5000, times=1)
    wanted = {
        ("me/pickle", None): r"pickle.* has no model\.safetensors; .* a pickle, .*safe_serialization=True",
        ("me/nothing", None): r"nothing.* is not a backbone: it has no config\.json",
        ("me/code", None): "auto_map: names custom code",
        ("me/code-too", None): "auto_map: names custom code",
        ("me/t5", None): "of type 't5'",
        ("you/secret", None): "no public repository 'you/secret'",
        ("me/none", None): "no public repository 'me/none'",
        (TINY, "v9"): f"no public repository '{TINY}' at revision 'v9'",
        ("me/cut", None): "'me/cut' could not be downloaded",
    }
    for message, found in zip(wanted.values(), locate(outside, hub_env, *wanted), strict=True):
        with pytest.raises(ValueError, match=f"BackboneError: .*{message}"):
            raise ValueError(found.get("error"))
    (cut,) = locate(outside, {**hub_env, "HF_HUB_OFFLINE": "1"}, ("me/cut", None))
    assert "has no model.safetensors" in cut["error"]  # half a download is none
    (wrong,) = locate(outside, {**hub_env, "HF_TOKEN": "hf_wrong"}, (TINY, "main"))
    assert "401" in wrong["error"] and "check your token" in wrong["error"]
    assert "hf_wrong" not in wrong["error"]
    (whole,) = locate(outside, hub_env, ("me/cut", None))
    assert whole["commit"] == hub.repos["models", "me/cut"].branches["main"]


@pytest.mark.slow
def test_train_and_evaluate_with_all_from_the_hub(
    hub: Hub, hub_env: Env, cli: Outside, files: dict[str, bytes], tmp_path: Path
) -> None:
    backbone = hub.put("models", TINY, files)
    texts = [(f"the cat saw {n}", f"a dog took {n}", n % 3) for n in range(24)]
    data = hub.put("datasets", "nyu-mll/multi_nli", multi_nli(*texts))
    rows = [(code, "the cat", "a dog", "neutral") for code in ("de", "sw", "de")]
    xtreme = hub.put("datasets", "google/xtreme", xnli(*rows))
    quick = ("--limit", 16, "--max-steps", 2, "--batch-size", 8)
    trained = json.loads(
        cli("train-adapter", "mnli", "--backbone", TINY, *quick, "--json", env=hub_env).stdout
    )
    folder = Path(trained["path"])
    job, origin = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("job", "origin"))
    assert f"hub:{backbone}" in json.dumps(job)
    assert data in json.dumps(origin)
    (told,) = json.loads(
        cli("evaluate", trained["id"], "--task", "xnli", "--languages", "de,sw", "--json", env=hub_env).stdout
    )
    assert told["languages"].keys() == {"de", "sw"}
    evaluated = [path.read_text("utf-8") for path in (tmp_path / "store").glob("*/origin.json")]
    assert sum(xtreme in each for each in evaluated) == 2
    found = json.loads(cli("doctor", "--json", env=hub_env).stdout)
    assert ("Hub", hub.url, "reachable") in [(each["section"], each["name"], each["value"]) for each in found]
