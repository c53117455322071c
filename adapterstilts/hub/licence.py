"""What licence the data of an adapter allows, in the Hub's own identifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from adapterstilts.hub.markdown import Raw, plain

Use = Literal["free", "share alike", "not commercial", "own terms"]

# The licence of a task entry -> the Hub's identifier (None where the Hub has none), and how far it reaches.
LICENCES: Mapping[str, tuple[str | None, Use]] = {
    "Apache 2.0": ("apache-2.0", "free"),
    "BSD 2-Clause": ("bsd-2-clause", "free"),
    "CC BY 2.0 FR": ("cc-by-2.0", "free"),
    "CC BY 4.0": ("cc-by-4.0", "free"),
    "CC0-1.0": ("cc0-1.0", "free"),
    "MIT": ("mit", "free"),
    "ODC-BY 1.0": ("odc-by", "free"),
    "CC BY-SA 3.0": ("cc-by-sa-3.0", "share alike"),
    "CC BY-SA 4.0": ("cc-by-sa-4.0", "share alike"),
    "CC BY-NC 4.0": ("cc-by-nc-4.0", "not commercial"),
    "Quora's terms of service (research, not commercial)": (None, "not commercial"),
    "LDC user agreement (LDC2005T13)": (None, "not commercial"),
    "free for research": (None, "not commercial"),
}
PERMISSIVE = (
    "cc0-1.0",
    "mit",
    "bsd-2-clause",
    "apache-2.0",
    "odc-by",
    "cc-by-2.0",
    "cc-by-4.0",
)  # the laxest first
OTHER = "other"


@dataclass(frozen=True)
class Licence:
    """The licence under which an adapter can be given on.

    Attributes:
        id: the Hub's identifier, or "other".
        name: of an "other" one, as the Hub's metadata wants it; None otherwise.
        text: one or two sentences for the card.
    """

    id: str
    name: str | None
    text: str


def licence_of(data: Iterable[str]) -> Licence:
    """The licence that those of the training data allow together: the narrowest of them.

    Where several narrow ones meet, or one has no identifier, it is "other": each of them has to be kept to.

    Args:
        data: the licences in the words of the task entries.
    """
    texts = list(dict.fromkeys(data))
    known = [LICENCES.get(text, (None, "own terms")) for text in texts]
    barred = [text for text, (_, use) in zip(texts, known, strict=True) if use == "not commercial"]
    ids = {name for name, use in known if use != "free"}
    if not ids:
        ids = {max((name for name, _ in known if name), key=PERMISSIVE.index, default=None)}
    (found, *others) = ids
    named = found is not None and not others
    text = "The training data's licences hold for the adapter too: " + "; ".join(map(plain, texts)) + "."
    if barred:
        text += f" **Not for commercial use**, because of the data under {', '.join(map(plain, barred))}."
    if named:
        assert found is not None
        return Licence(found, None, Raw(text))
    return Licence(OTHER, "that-of-the-training-data", Raw(text))
