"""Canonical rows: what every source is turned into and all that a kind ever sees."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PairRow:
    """One sentence, or a pair; `label` is one of the task's labels, None only for prediction.

    Attributes:
        original: The two texts that a translated pair was made of, where the release has them; only the leak
            guard looks at them.
    """

    id: str
    first: str
    second: str | None
    label: str | None
    original: tuple[str, str] | None = None

    @property
    def group(self) -> str:
        """Rows of one group stay on one side of a hold-out: pairs with the same first text."""
        return self.first


@dataclass(frozen=True, slots=True)
class TaggedRow:
    """A tokenised sentence with one tag a token (None only for prediction).

    Attributes:
        spaces: Whether a space follows each token in running text; None if the release does not record it.
    """

    id: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...] | None
    spaces: tuple[bool, ...] | None = None

    @property
    def group(self) -> str:
        """Rows of one group stay on one side of a hold-out: each sentence is its own."""
        return self.id


@dataclass(frozen=True, slots=True)
class Answer:
    """A gold answer: its text and its character offset in the context."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """An extractive question; no answers means unanswerable (SQuAD v2), None only for prediction."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None

    @property
    def group(self) -> str:
        """Rows of one group stay on one side of a hold-out: questions about one context."""
        return self.context


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """Pick one of several continuations: choice i is encoded as the pair (prompt, choices[i]).

    A task that also has a question puts it into the prompt (context + " " + question).
    """

    id: str
    prompt: str
    choices: tuple[str, ...]
    label: int | None

    @property
    def group(self) -> str:
        """Rows of one group stay on one side of a hold-out: choices for one prompt."""
        return self.prompt


@dataclass(frozen=True, slots=True)
class RetrievalRow:
    """A text on one side of a retrieval task; a query names the ids of its gold candidates.

    Attributes:
        context: Paragraph that contains a candidate, if the release has one.
    """

    id: str
    text: str
    side: str  # "query" or "candidate"
    gold: tuple[str, ...] = ()
    context: str | None = None

    @property
    def group(self) -> str:
        """Rows of one group stay on one side of a hold-out: each text is its own."""
        return self.id


@dataclass(frozen=True, slots=True)
class TextRow:
    """A sentence or paragraph of plain text."""

    id: str
    text: str

    @property
    def group(self) -> str:
        """Rows of one group stay on one side of a hold-out: equal texts."""
        return self.text


Row = PairRow | TaggedRow | QuestionRow | ChoiceRow | RetrievalRow | TextRow


def as_json(row: Row) -> dict[str, Any]:
    """Returns the row as plain JSON values."""
    return dataclasses.asdict(row)


def text_size(row: Row) -> int:
    """Characters of all texts of a row: what encoding it takes in memory is proportional to it."""
    values = (getattr(row, field.name) for field in dataclasses.fields(row))
    return sum(len(text) for value in values for text in ((value,) if isinstance(value, str) else value or ())
               if isinstance(text, str))  # fmt: skip
