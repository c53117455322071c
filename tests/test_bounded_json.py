"""JSON from strangers: bounded, without repeated keys, and never a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapterstilts.bounded_json import Limits, parse_object, read_bytes, read_object
from adapterstilts.errors import BackboneError, HubError

SMALL = Limits(size=2_000, depth=4, values=50)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{" + b" " * 2_000 + b"}", "too large: 2,002 bytes, at most 2,000"),
        (b'{"a": [' + b"1," * 60 + b"1]}", "more than 50 values"),
        (b'{"a":' * 5 + b"1" + b"}" * 5, "nested more than 4 deep"),
        (b'{"a": 1,\n"a": 2}', "the key 'a' occurs twice"),
        (b'{"b": {"a": 1, "a": 2}}', "the key 'a' occurs twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "1e999 is not finite"),
        (b'{"a": ' + b"9" * 41 + b"}", "a number of 41 digits"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\uDFFF": 1}', "half of a surrogate pair"),
        (b'{"a": 1,\n"b": "\xff"}', "line 2: damaged, not UTF-8"),
        (b'{"a": 1,\n"b"}', "line 2: damaged"),
        (b"[1]", "does not hold a JSON object"),
        (b"", "line 1: damaged"),
    ],
)
def test_what_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(HubError, match=message) as raised:
        parse_object(data, "some.json", HubError, SMALL)
    assert str(raised.value).startswith("some.json")


def test_deep_nesting_ends_in_one_sentence() -> None:
    for bracket in (b"[", b'{"a":'):
        with pytest.raises(BackboneError, match="nested more than"):
            parse_object(bracket * 200_000, "some.json", BackboneError)


def test_what_is_read_is_what_it_says() -> None:
    data = '{"a": [1, -2.5, "\\ud83d\\ude00", "ü"], "b": {"c": null}, "d": 1000000000000000019884624838656}'
    assert parse_object(data.encode(), "some.json", BackboneError) == {
        "a": [1, -2.5, "\U0001f600", "ü"],
        "b": {"c": None},
        "d": 1000000000000000019884624838656,
    }


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BackboneError, match="pipe is not an ordinary file"):  # and does not wait for a writer
        read_bytes(tmp_path / "pipe", 100, BackboneError)
    with pytest.raises(BackboneError, match="null is not an ordinary file"):
        read_bytes(Path("/dev/null"), 100, BackboneError)
    with pytest.raises(BackboneError, match="nothing was not found"):
        read_object(tmp_path / "nothing", BackboneError)
    with pytest.raises(BackboneError, match="cannot be read"):
        read_object(tmp_path / "pipe" / "inside", BackboneError)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(BackboneError, match="17,179,869,184 bytes"):
        read_object(tmp_path / "sparse", BackboneError)
    with pytest.raises(BackboneError, match=r"not an ordinary file|cannot be read"):
        read_object(tmp_path, BackboneError)
