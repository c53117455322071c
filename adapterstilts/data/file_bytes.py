"""Opens data files as bytes: plain or gzip. Other packed or binary formats are refused by name."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from adapterstilts.errors import DataError

GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
SNIFFED = 64  # bytes: longer than every signature below

# The first bytes of formats that are not text, each with its name and what to do about it.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"BZh", "a bzip2 file", "unpack it (bunzip2), or pack it with gzip"),
    (b"\xfd7zXZ\0", "an xz file", "unpack it (unxz), or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it (unzstd), or pack it with gzip"),
    (b"\x04\x22\x4d\x18", "an LZ4 file", "unpack it (unlz4), or pack it with gzip"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "unpack it, or export the sheet as CSV"),
    (b"PK\x05\x06", "an empty ZIP archive", "unpack the data first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "export it as CSV"),
    (b"ARROW1", "an Arrow file", "convert it to Parquet or JSON lines"),
    (b"Obj\x01", "an Avro file", "convert it to Parquet or JSON lines"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF", "an HDF5 file", "convert it to Parquet or JSON lines"),
    (b"\x93NUMPY", "a NumPy array", "convert it to JSON lines"),
    (b"%PDF", "a PDF file", "use the data set's text files"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data itself", "fetch the data: git lfs pull"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8"),
)
WEB_PAGE = re.compile(rb"\s*<(!doctype html|html)[\s>]", re.IGNORECASE)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The file's bytes, unpacked if it is a gzip file.

    Raises:
        DataError: it cannot be read, is a damaged gzip file, or is of a format that is not text.
    """
    try:
        with path.open("rb") as file:
            start = file.read(SNIFFED)
            _check_signature(start, path)
            file.seek(0)
            if not start.startswith(GZIP):
                yield file
                return
            with gzip.open(file) as unpacked:
                _check_signature(unpacked.read(SNIFFED), path)
                unpacked.seek(0)
                yield unpacked
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"a damaged gzip file ({error}): fetch it again", path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from None


def _check_signature(start: bytes, path: Path) -> None:
    for signature, name, advice in SIGNATURES:
        if start.startswith(signature):
            raise DataError(f"not UTF-8 text but {name}: {advice}", path, 1)
    if start.startswith(PARQUET):
        raise DataError("a Parquet file, which has no lines: this form is read from text", path)
    if WEB_PAGE.match(start):
        raise DataError("a web page, not data: the download has failed", path, 1)


def expanded(path: str | Path) -> Path:
    """The path with the home folder for `~`; as it is where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(PARQUET)) == PARQUET
    except OSError:
        return False
