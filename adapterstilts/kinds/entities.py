"""Entities in a sentence's tags, read as seqeval reads them, whatever scheme the tags follow."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from seqeval.metrics.sequence_labeling import get_entities

Chunk = tuple[str, int, int]  # type, index of the first word, index of the last word

# seqeval's reading knows B, I, E and S; other schemes spell the same four differently.
_SPELLINGS = ({"L": "E", "U": "S"}, {"L": "E"}, {"U": "S"}, {"M": "I", "W": "S"}, {"M": "I"})
_POSITIONS = frozenset("BIESLUMWO")


def chunks(tags: Sequence[str]) -> list[Chunk]:
    """The entities of one sentence as they are scored: IOB1, IOB2, IOE and IOBES, and plain tags.

    Equal plain tags side by side are one entity, as in XTREME's script.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tags are not of the BIO form
        return list(get_entities([typed(tag) for tag in tags]))


def typed(tag: str) -> str:
    """Tells seqeval that a plain tag is its own type: NOUN becomes N-NOUN.

    So its versions before 1.0 read it, on which XTREME's scores rest (evaluate_test.py expects theirs); later
    ones take the first letter off, and X, of which nothing is left, runs into the next sentence.
    """
    return tag if tag == "O" or "-" in tag else f"{tag[:1]}-{tag}"


def predicted_chunks(tags: Sequence[str], labels: Iterable[str]) -> list[Chunk]:
    """The entities that a prediction shows: as `chunks`, and BILOU, BMES and suffixes (PER-B) too.

    Args:
        labels: the task's label set, which decides the scheme.
    """
    split = [label.rsplit("-", 1) for label in labels if "-" in label]
    before = {first.partition("-")[0] for first, _ in split}
    behind = {last for _, last in split}
    positions = before
    if behind and behind <= _POSITIONS and not before & _POSITIONS:  # PER-B
        tags = ["-".join(reversed(tag.rsplit("-", 1))) for tag in tags]
        positions = behind
    elif not before <= _POSITIONS and not before & {"B", "I"}:  # plain, some with a hyphen
        tags = [tag if tag == "O" else f"{tag[:1]}-{tag}" for tag in tags]
    spelling = next((each for each in _SPELLINGS if {"B", *each} <= positions), {})
    return chunks([spelling.get(tag[:1], tag[:1]) + tag[1:] if tag[1:2] == "-" else tag for tag in tags])
