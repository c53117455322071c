"""Allow-lists: which unknown keys are dropped and which are refused, and the rules for values."""

from __future__ import annotations

from typing import Any

import pytest

from adapterstilts.errors import HubError
from adapterstilts.known_keys import Accept, Rule, danger, keep_known  # fmt: skip

RULES: dict[str, Rule] = {
    "size": Accept.whole(1, 8),
    "rate": Accept.nullable(Accept.number(0, 1)),
    "flag": Accept.flag,
    "kind": Accept.choice("a", "b", None),
    "path": Accept.ignored,
    "code": Accept.refused("is never run"),
    "parts": Accept.items(Accept.record({"name": Accept.text(5)}, required=["name"]), 2),
    "names": Accept.table(Accept.either(Accept.whole(0, 5), Accept.text(3)), 3),
}


def kept(**data: Any) -> tuple[dict[str, Any], list[str]]:
    return keep_known(data, RULES, "some.json", HubError)


def test_known_keys_stay_and_harmless_unknown_ones_are_named() -> None:
    data = {"size": 8, "rate": None, "kind": "a", "path": "/etc/passwd", "code": None}
    parts = [{"name": "x", "colour": "red"}]
    assert kept(**data, parts=parts, names={"a": 5, "b": "y"}, temperature=0.5, tags=["a", "b"]) == (
        {"size": 8, "rate": None, "kind": "a", "parts": [{"name": "x"}], "names": {"a": 5, "b": "y"}},
        ["parts[0].colour", "temperature", "tags"],
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"size": "4"}, r"some.json: size: should be a whole number from 1 to 8, not '4'"),
        ({"size": True}, "size: should be a whole number"),
        ({"size": 4.0}, "size: should be a whole number"),
        ({"size": 10**30}, "size: should be a whole number"),
        ({"rate": float("nan")}, "rate: should be a number from 0 to 1, not nan"),
        ({"flag": 1}, "flag: should be true or false, not 1"),
        ({"kind": "c"}, "kind: should be one of 'a', 'b', null, not 'c'"),
        ({"code": "x"}, "code: is never run"),
        ({"parts": [{}]}, r"parts\[0\]: has no 'name'"),
        ({"parts": [{"name": "toolong"}]}, r"parts\[0\].name: should be a text of at most 5"),
        ({"parts": [1]}, r"parts\[0\]: should be an object"),
        ({"parts": [{"name": "x"}] * 3}, "parts: has 3 items, at most 2"),
        ({"parts": {}}, "parts: should be a list"),
        ({"names": {"a": "long"}}, "names.a: should be a text of at most 3"),
        ({"names": dict.fromkeys("abcd", 1)}, "names: has 4 entries, at most 3"),
        ({"parts": [{"name": "x", "auto_map": {"A": "b"}}]}, r"parts\[0\].auto_map: names code"),
    ],
)
def test_what_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(HubError, match=message):
        kept(**data)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("auto_map", {"AutoModel": "theirs.Model"}, "code"),
        ("_attn_implementation_internal", "x", "code"),
        ("trust_remote_code", True, "code"),
        ("customKernel", 1, "code"),
        ("chatTemplate", "hello", "code"),
        ("weights_url", "example", "a repository or a path"),
        ("base_model_name_or_path", "bert", "a repository or a path"),
        ("note", "https://example.org", "a URL"),
        ("note", "someone/kernels", "a repository or a path"),
        ("note", "../other", "a repository or a path"),
        ("note", "C:\\models\\x", "a repository or a path"),
        ("note", "someone--repo", "a repository or a path"),
        ("note", "theirs.Model", "a module"),
        ("note", "model.pkl", "a file"),
        ("note", "__import__('os')", "code"),
        ("note", "{{ x }}", "code"),
        ("nested", {"deep": [{"note": "a/b"}]}, "a repository or a path"),
        ("trust_remote_code", False, None),
        ("quantization_config", None, None),
        ("note", "a few words, no more.", None),
        ("version", "4.57.6", None),
        ("temperature", 0.5, None),
        ("nested", {"deep": [1, "x"]}, None),
    ],
)
def test_the_kind_of_an_unknown_key(key: str, value: Any, reason: str | None) -> None:
    assert danger(key, value) == reason
