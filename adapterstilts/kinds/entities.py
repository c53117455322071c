"""Entities in a sentence's tags, read as seqeval reads them, whatever scheme the tags follow."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from seqeval.metrics.sequence_labeling import get_entities

Chunk = tuple[str, int, int]  # type, index of the first word, index of the last word

# seqeval reads B, I, E and S; other schemes spell the same four differently.
_SPELLINGS = ({"L": "E", "U": "S"}, {"L": "E"}, {"U": "S"}, {"M": "I", "W": "S"}, {"M": "I"})
_POSITIONS = frozenset("BIESLUMWO")


def chunks(tags: Sequence[str]) -> list[Chunk]:
    """Returns the entities of one sentence as they are scored: IOB1, IOB2, IOE and IOBES, and plain tags.

    Equal plain tags side by side are one entity, as in XTREME's script.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns about every plain tag
        return list(get_entities([_typed(tag) for tag in tags]))


def predicted_chunks(tags: Sequence[str], labels: Iterable[str]) -> list[Chunk]:
    """Returns the entities that a prediction shows: as `chunks`, and also BILOU, BMES and suffixes (PER-B).

    Args:
        labels: Label set of the task, which decides the scheme.
    """
    parts = [label.rsplit("-", 1) for label in labels if "-" in label]
    prefixes = {start.partition("-")[0] for start, _ in parts}
    suffixes = {end for _, end in parts}
    positions = prefixes
    if suffixes and suffixes <= _POSITIONS and not prefixes & _POSITIONS:  # PER-B
        tags = ["-".join(reversed(tag.rsplit("-", 1))) for tag in tags]
        positions = suffixes
    elif not prefixes <= _POSITIONS and not prefixes & {"B", "I"}:  # plain tags, some with a hyphen
        tags = [tag if tag == "O" else f"{tag[:1]}-{tag}" for tag in tags]
    spelling = next((letters for letters in _SPELLINGS if {"B", *letters} <= positions), {})
    return chunks([spelling.get(tag[:1], tag[:1]) + tag[1:] if tag[1:2] == "-" else tag for tag in tags])


def _typed(tag: str) -> str:
    """Returns a plain tag with its type spelled out: NOUN becomes N-NOUN."""
    # seqeval before 1.0 read plain tags like this, and XTREME's scores rest on it (evaluate_test.py expects
    # them). Later versions remove the first letter, and X, of which nothing remains, runs into the next
    # sentence.
    return tag if tag == "O" or "-" in tag else f"{tag[:1]}-{tag}"
