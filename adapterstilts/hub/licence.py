"""Determines the licence of an adapter from the licences of its training data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from adapterstilts.hub.markdown import Raw, plain

Use = Literal["free", "share alike", "not commercial", "own terms"]

# Licence of a task entry -> the Hub's identifier (None if the Hub has none), and its restriction
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
# From the fewest obligations to the most; the last licence that applies is the adapter's
PERMISSIVE = (
    "cc0-1.0",
    "mit",
    "bsd-2-clause",
    "apache-2.0",
    "odc-by",
    "cc-by-2.0",
    "cc-by-4.0",
)
OTHER = "other"


@dataclass(frozen=True)
class Licence:
    """The licence under which an adapter can be distributed.

    Attributes:
        id: Hub identifier, or "other".
        name: Name that the Hub's metadata requires for "other", None otherwise.
        text: Markdown of one or two sentences for the card.
    """

    id: str
    name: str | None
    text: str

    @staticmethod
    def of(data: Iterable[str]) -> Licence:
        """Returns the most restrictive licence of the training data.

        With several restrictive licences, or one without an identifier, it is "other": all of them apply.

        Args:
            data: Licences in the words of the task entries.
        """
        texts = list(dict.fromkeys(data))
        # A licence that is not listed counts as restrictive
        licences = [LICENCES.get(text, (None, "own terms")) for text in texts]
        barred = [text for text, (_, use) in zip(texts, licences, strict=True) if use == "not commercial"]
        ids = {name for name, use in licences if use != "free"}
        if not ids:
            ids = {max((name for name, _ in licences if name), key=PERMISSIVE.index, default=None)}
        identifier = next(iter(ids)) if len(ids) == 1 else None
        text = (
            "The licences of the training data also apply to the adapter: "
            + "; ".join(map(plain, texts))
            + "."
        )
        if barred:
            names = ", ".join(map(plain, barred))
            text += f" **Not for commercial use**, because of the data licensed under {names}."
        if identifier:
            return Licence(identifier, None, Raw(text))
        return Licence(OTHER, "that-of-the-training-data", Raw(text))
