"""Files are read strictly: what is not UTF-8 text is named with its line."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from adapterstilts.data.squad import _json_file
from adapterstilts.data.text import csv_records, json_lines, numbered_lines
from adapterstilts.errors import DataError


def write(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "file.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_line_ends_and_byte_order_mark_are_taken_off(tmp_path: Path) -> None:
    path = write(tmp_path, codecs.BOM_UTF8 + b"one\r\ntwo\nthree")
    assert list(numbered_lines(path)) == [(1, "one"), (2, "two"), (3, "three")]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a\u2028b\x85c\x0cd\re\nf\n")
    assert [line for _, line in numbered_lines(path)] == ["a\u2028b\x85c\x0cd\re", "f"]


def test_empty_lines_stay_except_at_the_end(tmp_path: Path) -> None:
    assert list(numbered_lines(write(tmp_path, "a\n\n\nb\n\n\n"))) == [(1, "a"), (2, ""), (3, ""), (4, "b")]


@pytest.mark.parametrize("content", [b"", b"\n\r\n\n", codecs.BOM_UTF8])
def test_empty_file(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        list(numbered_lines(path))
    assert str(caught.value) == f"{path}: the file is empty"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\nLe caf\xe9\n", r"line 2: not UTF-8 \(byte 0xe9 at position 7\)"),
        (b"fine\nfine\nbad\0\n", "line 3: a NUL byte"),
        ("wide\n".encode("utf-16"), "line 1: "),
        (b"a\n\xed\xa0\x80\n", "line 2: not UTF-8"),
    ],
)
def test_bytes_that_are_not_text(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(numbered_lines(write(tmp_path, content)))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(numbered_lines(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": \n', r"line 2: not valid JSON: .* \(column 7\)"),
        ('{"a": 1}\n\n{"a": 2}\n', "line 2: not valid JSON"),
        ('{"a": 1}\n[1]\n', "line 2: not a JSON object"),
        ("[" * 200_000, "nested too deep"),
    ],
)
def test_json_lines(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(json_lines(write(tmp_path, content)))


def test_json_file_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: not valid JSON"):
        _json_file(write(tmp_path, '{"data": [\n 1,\n oops]}'))


def test_csv_fields_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,text\r\n1,"a, ""b""\r\nc"\r\n2,d\r\n')
    assert list(csv_records(path)) == [(3, {"id": "1", "text": 'a, "b"\nc'}), (4, {"id": "2", "text": "d"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 fields, but the header has 2"),
        ('a,b\n1,"2\n', "not valid CSV"),
        ('a,b\n1,"2"x\n', "line 2: not valid CSV"),
    ],
)
def test_broken_csv(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(csv_records(write(tmp_path, content)))
