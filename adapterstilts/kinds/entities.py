"""Entities in a sentence's tags, read as seqeval reads them, whatever scheme the tags follow."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from seqeval.metrics.sequence_labeling import get_entities

Chunk = tuple[str, int, int]  # type, index of the first word, index of the last word


def chunks(tags: Sequence[str]) -> list[Chunk]:
    """Returns the entities of one sentence as they are scored: IOB1, IOB2, IOE and IOBES, and plain tags.

    Equal plain tags side by side are one entity, as in XTREME's script.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns about every plain tag
        return list(get_entities([_typed(tag) for tag in tags]))


def _typed(tag: str) -> str:
    """Returns a plain tag with its type spelled out: NOUN becomes N-NOUN."""
    # seqeval before 1.0 read plain tags like this, and XTREME's scores rest on it (evaluate_test.py expects
    # them). Later versions remove the first letter, and X, of which nothing remains, runs into the next
    # sentence.
    return tag if tag == "O" or "-" in tag else f"{tag[:1]}-{tag}"
