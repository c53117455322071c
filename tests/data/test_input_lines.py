"""Lines for prediction: UTF-8 or an error with file and line, one at a time."""

import gzip
import io
import os
import threading

import pytest

from adapterstilts.cli.predict import _file_lines
from adapterstilts.data.input_lines import LONGEST, stream_lines
from adapterstilts.errors import DataError


def lines(content: bytes) -> list[str]:
    return list(stream_lines(io.BytesIO(content), "f.txt"))


def test_line_ends_and_the_byte_order_mark_are_no_text():
    assert lines(b"\xef\xbb\xbfa\r\nb\n\n c") == ["a", "b", "", " c"]
    assert lines(b"") == []


def test_other_line_ends_of_unicode_are_text():
    assert lines("a\u2028b\x85c\n".encode()) == ["a\u2028b\x85c"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\ncaf\xe9\n", "line 2: not UTF-8 (byte 0xe9 at position 4)"),
        ("a\nb".encode("utf-16"), "line 1: a NUL byte"),
        (b"a\n\0\n", "line 2: a NUL byte"),
        (b"a\n\xed\xa0\xbd\n", "line 2: not UTF-8"),  # a surrogate, which UTF-8 does not hold
        (b"a\rb\rc", "line 1: a carriage return inside the line"),
        (b"a\n" + b"x" * (LONGEST + 1) + b"\n", "line 2: a line of more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_line_of_text_is_named(content, said):
    with pytest.raises(DataError) as caught:
        lines(content)
    assert str(caught.value).startswith("f.txt, ") and said in str(caught.value)


def test_the_longest_line_is_read():
    assert len(lines(b"x" * LONGEST + b"\r\ny")[0]) == LONGEST


def test_a_long_line_is_not_read_whole():
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.taken += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    source = Endless()
    with pytest.raises(DataError, match="a line of more than"):
        next(stream_lines(io.BufferedReader(source), "f"))
    assert source.taken < 2 * LONGEST


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            next(_file_lines(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"one\ntwo\n",))
    writer.start()
    assert list(_file_lines(tmp_path / "pipe")) == ["one", "two"]
    writer.join()


def test_a_gzip_file_is_unpacked_and_other_packed_files_are_named(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("Æ\none\n".encode()))
    assert list(_file_lines(tmp_path / "a.txt.gz")) == ["Æ", "one"]
    (tmp_path / "b").write_bytes(b"BZh91AY&SY....")
    with pytest.raises(DataError, match="a bzip2 file"):
        list(_file_lines(tmp_path / "b"))
