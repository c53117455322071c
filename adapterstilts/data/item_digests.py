"""Finds items that a run was trained on, by digests of normalised text in the run's folder."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from adapterstilts.data.rows import ChoiceRow, PairRow, QuestionRow, RetrievalRow, Row, TaggedRow

ITEMS = "items.bin"  # in a run's folder: sorted digests of what it trained on, 8 bytes each, little-endian
DIGEST = np.dtype("<u8")  # among a million items a false match of one has a chance of 5e-14

LAST = 2**31  # the last row of a file that was read to its end

Digests = npt.NDArray[np.uint64]


class Item(NamedTuple):
    """A row's id, and what makes it the same item as another: its texts without its label."""

    id: str
    texts: tuple[str, ...]


class Part(NamedTuple):
    """Rows of a file: the SHA-256 of its bytes, the first and the last row, both included."""

    file: str
    first: int
    last: int

    def meets(self, part: Part) -> bool:
        """Whether a row is in both."""
        return self.file == part.file and self.first <= part.last and part.first <= self.last


def items(rows: Iterable[Row]) -> list[Item]:
    """Returns the items of rows, in row order.

    A question that asks for a sentence (LAReQA) is the item that the same question about the paragraph is;
    another text to retrieve, or to predict masked words of, has no label that training could have shown.
    """
    contexts: dict[str, str] = {}
    result: list[Item] = []
    texts: tuple[str, ...]
    for row in rows:
        if isinstance(row, RetrievalRow):
            if row.context is not None:
                contexts[row.id] = row.context
            first = next(
                iter(row.gold), None
            )  # several: the one in the question's own language comes before the others
            texts = (row.text, contexts[first]) if first in contexts else ()
        else:
            texts = item_text(row)
        if texts:
            result.append(Item(row.id, texts))
    return result


def item_text(row: Row) -> tuple[str, ...]:
    """Returns the texts, without the label, that identify a row as an item. Empty if it is not an item."""
    match row:
        case PairRow():
            return (row.first,) if row.second is None else (row.first, row.second)
        case TaggedRow():
            return row.tokens
        case QuestionRow():
            return row.question, row.context
        case ChoiceRow():
            return row.prompt, *row.choices
        case _:
            return ()


def digests(rows: Iterable[Row]) -> Digests:
    """Returns one digest per item, in row order; case, width and white space do not count."""
    return digests_of(item.texts for item in items(rows))


def digests_of(items: Iterable[Sequence[str]]) -> Digests:
    """Returns one digest per item."""
    return np.frombuffer(b"".join(map(_digest, items)), DIGEST)


def _digest(texts: Iterable[str]) -> bytes:
    plain = ("\x20".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in texts)
    return hashlib.blake2b("\x1f".join(plain).encode("utf-8"), digest_size=DIGEST.itemsize).digest()


def write_items(folder: Path, rows: Sequence[Row], before: Digests | None = None) -> None:
    """Writes what a run trained on, the originals of translated rows too, into its folder.

    Args:
        before: Digests of the runs that it was built on.
    """
    originals = [row.original for row in rows if isinstance(row, PairRow) and row.original]
    arrays = [digests(rows), digests_of(originals), digests(()) if before is None else before]
    (folder / ITEMS).write_bytes(np.unique(np.concatenate(arrays)).tobytes())


def read_items(folder: Path) -> Digests | None:
    """Returns the digests of a run's training items. None if its folder has none."""
    path = folder / ITEMS
    return np.frombuffer(path.read_bytes(), DIGEST) if path.is_file() else None


def origins(origin: Any) -> Iterator[Mapping[str, Any]]:
    """Yields every record in the origin of a run or of rows, except those of development data."""
    if isinstance(origin, Mapping):
        yield origin
    values = origin.items() if isinstance(origin, Mapping) else enumerate(origin)
    for name, value in values:
        if name != "dev" and isinstance(value, Mapping | list):
            yield from origins(value)


def parts(origin: Mapping[str, Any]) -> frozenset[Part]:
    """Returns the ranges of file rows in an origin."""
    records = (record for record in origins(origin) if "sha256" in record)
    return frozenset(Part(record["sha256"], *(record["slice"] or (1, LAST))) for record in records)
