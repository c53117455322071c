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
PARQUET = re.compile(rb"PAR1([^\t\n\r\x20-\xff]|$)")
SNIFFED = 512  # bytes: as far as the signatures below reach

# How formats that are not text begin, each with its name and what to do about it.
SIGNATURES: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name, advice)
    for pattern, name, advice in (
        (rb"BZh[1-9](1AY&SY|\x17rE8P)", "a bzip2 file", "unpack it (bunzip2), or pack it with gzip"),
        (rb"\xfd7zXZ\0", "an xz file", "unpack it (unxz), or pack it with gzip"),
        (rb"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it (unzstd), or pack it with gzip"),
        (rb"\x04\x22\x4d\x18", "an LZ4 file", "unpack it (unlz4), or pack it with gzip"),
        (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive or an Excel workbook", "unpack it, or export it as CSV"),
        (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
        (rb"Rar!\x1a\x07", "a RAR archive", "unpack it"),
        (rb".{257}ustar", "a tar archive", "unpack it, and name the file inside"),
        (rb"\xd0\xcf\x11\xe0", "an old Excel or Word file", "export it as CSV"),
        (rb"ARROW1\0\0", "an Arrow file", "convert it to Parquet or JSON lines"),
        (rb"Obj\x01", "an Avro file", "convert it to Parquet or JSON lines"),
        (rb"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
        (rb"\x89HDF\r\n", "an HDF5 file", "convert it to Parquet or JSON lines"),
        (rb"\x93NUMPY", "a NumPy array", "convert it to JSON lines"),
        (rb"%PDF-", "a PDF file", "use the data set's text files"),
        (
            rb"version https://git-lfs",
            "a Git LFS pointer, not the data itself",
            "fetch the data: git lfs pull",
        ),
        (rb"\xff\xfe|\xfe\xff", "UTF-16 text", "convert it to UTF-8"),
        (rb"\s*<(!(?i:doctype) (?i:html)|(?i:html))[\s>]", "a web page", "fetch the data again"),
    )
)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Opens the file's bytes, unpacked if it is a gzip file.

    Raises:
        DataError: The file cannot be read, is a damaged gzip file, or is not text.
    """
    try:
        with path.open("rb") as file:
            start = file.peek(SNIFFED)[:SNIFFED]  # a pipe cannot go back
            _check_signature(start, path)
            if not start.startswith(GZIP):
                yield file
                return
            with gzip.open(file) as unpacked:
                start = unpacked.peek(SNIFFED)[:SNIFFED]
                _check_signature(start, path)
                if start.startswith(GZIP):
                    raise DataError("a gzip file inside a gzip file: unpack it once", path)
                yield unpacked
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"a damaged gzip file ({error}): fetch it again", path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from None


def _check_signature(start: bytes, path: Path) -> None:
    for pattern, name, advice in SIGNATURES:
        if pattern.match(start):
            raise DataError(f"not UTF-8 text but {name}: {advice}", path, 1)
    if PARQUET.match(start):
        raise DataError("a Parquet file, which has no lines: this form is read from text", path)


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet files do."""
    try:
        with path.open("rb") as file:
            return PARQUET.match(file.read(5)) is not None
    except OSError:
        return False
