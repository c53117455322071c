"""Our own part of a card's metadata, as it is read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from huggingface_hub import ModelCard

from adapterstilts.errors import ConfigError
from adapterstilts.hub.layout import CARD, KEY
from adapterstilts.values import Value

# What a malformed card or file of a stranger can raise where it is taken apart
MALFORMED = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, NotImplementedError,
    OverflowError, yaml.YAMLError, ConfigError,
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
    data = ModelCard.load(card, ignore_metadata_errors=True).data
    found = data.get(KEY)  # to_dict() would write out what YAML's aliases only refer to
    return None if found is None else Record.parse(found, f"{CARD}: {KEY}")


def exactly(name: str) -> str:
    """A file's name as a pattern that fits it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
