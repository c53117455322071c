"""Our own part of a card's metadata, as it is read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adapterstilts.errors import ConfigError
from adapterstilts.hub.layout import CARD, KEY
from adapterstilts.values import Value
from adapterstilts.yaml_lines import front_matter

LARGEST_CARD = 2**19  # bytes
# What a malformed card or file of a stranger can raise where it is taken apart
MALFORMED = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, NotImplementedError,
    OverflowError, ConfigError,
)  # fmt: skip


class Record(Value):
    """What a card says for programs.

    Attributes:
        run, key: the run's id and key.
        backbone: its name and fingerprint.
        sha256: of every other file of the repository.
    """

    run: str
    key: str
    backbone: Mapping[str, str]
    sha256: Mapping[str, str]


def read_record(card: Path) -> Record | None:
    """The record in a card, None in one of another program.

    Raises:
        One of `MALFORMED`: it cannot be read.
    """
    with card.open("rb") as file:
        content = file.read(LARGEST_CARD + 1)
    if len(content) > LARGEST_CARD:
        raise ConfigError(f"{CARD} is larger than {LARGEST_CARD:,} bytes")
    document = front_matter(content.decode("utf-8"), CARD)
    record = document.texts().get(KEY) if document else None
    return None if record is None else Record.parse(record, f"{CARD}: {KEY}")


def exactly(name: str) -> str:
    """A file's name as a pattern that fits it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
