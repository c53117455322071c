"""The one reader of YAML: bombs stop at their line and in no time, and nothing is read as something else."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from adapterstilts.errors import ConfigError
from adapterstilts.yaml_lines import LARGEST_FILE, Document, front_matter, read_text, read_value

TENFOLD = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
MERGES = [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 9)]

BOMBS = {
    "aliases": ("\n".join(["a0: &a0 [x, x]", *TENFOLD]), 6, "more than 100000 others"),
    "merges": ("\n".join(["m0: &m0 {k: v}", *MERGES]), 6, "more than 100000 others"),
    "an alias of itself": ("a: 1\nb: &b [*b]", 2, "a value contains itself"),
    "a mapping of itself": ("a: &a {<<: *a}", 1, "contains itself"),
    "many aliases": ("a: &a 1\nb: [" + "*a, " * 1001 + "*a]", 2, "more than 1000 aliases"),
    "lists in lists": ("a: 1\nb: " + "[" * 100_000, 2, "more than 50 levels"),
    "mappings in mappings": ("a: " + "{a: " * 1000, 1, "more than 50 levels"),
    "lists by lines": ("a:\n" + "".join(f"{' ' * n}-\n" for n in range(1, 200)), 51, "more than 50 levels"),
    "many values": ("a: [" + "1," * 100_001 + "1]", 1, "more than 100000 values"),
    "a sexagesimal number": ("a: !!int " + "1:" * 100_000 + "1", 1, "the value is not of type int"),
    "a sexagesimal fraction": ("a: !!float " + "1:" * 100_000 + "1.0", 1, "the value is not of type float"),
    "an endless whole number": ("a: 1\nb: !!int " + "9" * 100_000, 2, "the value is not of type int"),
    "a Python object": ("a: !!python/object/apply:open [exploded, w]", 1, "is not read"),
    "bytes": ("a: !!binary aGVsbG8=", 1, "the type binary is not read"),
    "a list as a key": ("? [a, b]\n: 1", 1, "a list or a mapping cannot be a key"),
    "a key twice": ("a: 1\nb: {c: 1,\n  c: 2}", 3, "'c' occurs twice"),
    "half a character": ('a: "\\uD800"', 1, "the value holds half of a surrogate pair"),
    "no value for an alias": ("a: *b", 1, "undefined alias"),
    "two documents": ("a: 1\n---\nb: 2", 2, "found another document"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stops_at_its_line(name: str, tmp_path: Path) -> None:
    text, line, message = BOMBS[name]
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    started = time.monotonic()
    with pytest.raises(ConfigError) as error:
        Document.read(path)
    assert time.monotonic() - started < 20
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert message in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff", "cannot be read as UTF-8 text"),
        (b"a: \x07", "the character 0x7 is not allowed"),
        (b"#" * (LARGEST_FILE + 1), "larger than 524,288 bytes"),
        (b"- a", "it should hold keys with values, such as `name: value`"),
        (b"", "it should hold keys with values"),
    ],
)
def test_what_is_no_mapping_in_yaml(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        Document.read(path)


def test_values_are_those_of_yaml_1_2() -> None:
    text = "a: [no, 1:30, 010, 1e-3, 2024-01-02, true, ~, =, 0x10, 1_000]"
    document = read_text(text, "here")
    plain = ["no", "1:30", "010", 0.001, "2024-01-02", True, None, "=", "0x10", "1_000"]
    assert document.data == {"a": plain}
    texts = ["no", "1:30", "010", "1e-3", "2024-01-02", "true", None, "=", "0x10", "1_000"]
    assert document.texts() == {"a": texts}


def test_merge_keys_of_a_sensible_size_are_merged() -> None:
    text = "base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}"
    assert read_text(text, "here").data["more"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("[1, 2]", [1, 2]), ("1e-4", 1e-4), ("", None), ("{a: true}", {"a": True})],
)
def test_single_values(text: str, value: object) -> None:
    assert read_value(text, "--set x") == value


@pytest.mark.parametrize("text", ["[1", "[" * 5000, "&a [*a]", "!!int 1:1", "\x00", "a: 1\n---\nb: 1"])
def test_single_values_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set x: "):
        read_value(text, "--set x")


def test_front_matter() -> None:
    document = front_matter("\ufeff\n---\r\na: 1\r\nb: no\r\n---\r\n# Title\n---\n", "README.md")
    assert document is not None and document.data == {"a": 1, "b": "no"}
    assert str(document.error(["b"], "wrong")) == "README.md, line 4: wrong"
    with pytest.raises(ConfigError, match=r"README\.md, line 3: not YAML"):
        front_matter("---\na: 1\nb: ]\n---\n", "README.md")


@pytest.mark.parametrize("text", ["", "# Title\n---\na: 1\n---\n", "---\na: 1\n", "----\na: 1\n----\n"])
def test_a_text_without_front_matter(text: str) -> None:
    assert front_matter(text, "README.md") is None


@pytest.mark.parametrize("text", ["---" + "\n" * 400_000, "---\n" * 130_000 + "x", "---" + "\r\n" * 250_000])
def test_front_matter_is_found_in_time_that_grows_with_the_text(text: str) -> None:
    started = time.monotonic()
    with suppress(ConfigError):
        front_matter(text, "README.md")
    assert time.monotonic() - started < 20  # the Hub client's expression takes hours
