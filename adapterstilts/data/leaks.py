"""Tells whether an item was trained on, by digests of normalised text that are kept with a run."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from math import sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adapterstilts.data.rows import ChoiceRow, PairRow, QuestionRow, Row, TaggedRow
from adapterstilts.tasks.spec import KindName

ITEMS = "items.bin"  # in a run's folder: sorted digests of what it trained on, 8 bytes each, little-endian
DIGEST = np.dtype("<u8")  # among a million items a false match of one has a chance of 5e-14

# The share of items that recur in a release by itself. Measured: of English development items 3.3 % (PAN-X)
# and 2.4 % (UD, nearly all of one or two tokens) stand in the training file too; PAWS-X, XNLI, XCOPA, TyDiQA
# and XQuAD against MLQA: none; between two parts of one file at most 1.5 % (Social IQa), mostly none.
SHARE = 0.01
SHARES: Mapping[KindName, float] = {"tagging": 0.05}

Digests = npt.NDArray[np.uint64]


def item_text(row: Row) -> tuple[str, ...]:
    """What makes an item the same item: its texts without its label; empty where rows are no items.

    A text to retrieve, or to predict masked words of, has no label that training could have shown.
    """
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
    """One digest per row that is an item, in row order; case, width and white space do not count."""
    found = (item_text(row) for row in rows)
    return np.frombuffer(b"".join(_digest(texts) for texts in found if texts), DIGEST)


def _digest(texts: Iterable[str]) -> bytes:
    plain = ("\x20".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in texts)
    return hashlib.blake2b("\x1f".join(plain).encode("utf-8"), digest_size=DIGEST.itemsize).digest()


def write_items(folder: Path, rows: Iterable[Row]) -> None:
    """Writes what a run trained on into its folder."""
    (folder / ITEMS).write_bytes(np.unique(digests(rows)).tobytes())


def read_items(folder: Path) -> Digests | None:
    """What a run trained on; None where its folder does not say."""
    path = folder / ITEMS
    return np.frombuffer(path.read_bytes(), DIGEST) if path.is_file() else None


def too_many(leaked: int, size: int, kind: KindName) -> bool:
    """Whether more of `size` items were trained on than recur by chance.

    Chance is the kind's share of them, and three standard deviations (of a Poisson variable) more.
    """
    expected = SHARES.get(kind, SHARE) * size
    return leaked > expected + 3 * sqrt(expected)
