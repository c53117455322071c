"""Text without labels, as a user gives it for prediction, and spans with offsets back into it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterstilts.data.rows import ChoiceRow, PairRow, QuestionRow, RetrievalRow, Row, TaggedRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import KindName

# One token: a character of a script written without spaces, a run of letters, digits and marks, or a sign.
# Marks are those of Latin, Hebrew, Arabic and the scripts of India, and the joiners inside words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0963\u0966-\u0dff\u200c\u200d"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w{_MARKS}])+|[^\w\s]")


@dataclass(frozen=True)
class Input:
    """One thing to predict for, with the character offsets of its tokens (tagging only)."""

    row: Row
    text: str = ""
    offsets: tuple[tuple[int, int], ...] = ()


def read_inputs(kind: KindName, lines: Iterable[str], name: str) -> list[Input]:
    """Inputs from lines: JSON objects, or text with a tab between the parts.

    A pair is `first TAB second`, a question `question TAB context`, a sentence to tag is plain text or
    `{"tokens": [...]}`, a choice `{"prompt": ..., "choices": [...]}`, a query for retrieval plain text.

    Args:
        name: of the file or "the argument", for messages.

    Raises:
        DataError: a line that does not hold what the kind needs, with its number.
    """
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_READERS[kind](str(number), _fields(line.rstrip("\r\n"), _PARTS[kind])))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"a {kind} task wants {_WANTS[kind]} ({error})", name, number) from None
    if not found:
        raise DataError("there is no text in it", name)
    return found


def candidates(lines: Iterable[str], name: str) -> list[Input]:
    """What a retrieval query is compared with: one text a line; the id is the line number.

    Raises:
        DataError: there is none.
    """
    texts = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not texts:
        raise DataError("there is no text in it", name)
    return [Input(RetrievalRow(str(number), text, "candidate"), text) for number, text in texts]


_PARTS: dict[KindName, tuple[str, ...]] = {
    "sequence": ("first", "second"),
    "tagging": ("text",),
    "span": ("question", "context"),
    "choice": ("prompt",),
    "retrieval": ("text",),
}
_WANTS: dict[KindName, str] = {
    "sequence": 'first TAB second, or {"first": …, "second": …}',
    "tagging": 'plain text, or {"tokens": […]}',
    "span": 'question TAB context, or {"question": …, "context": …}',
    "choice": '{"prompt": …, "choices": […, …]}',
    "retrieval": "plain text",
}


def _fields(line: str, parts: Sequence[str]) -> Mapping[str, Any]:
    if line.lstrip().startswith("{"):
        loaded: Mapping[str, Any] = json.loads(line)
        return loaded
    cells = line.split("\t") if len(parts) > 1 else [line]
    if len(cells) > len(parts):
        raise ValueError(f"{len(cells)} parts with tabs between")
    return dict(zip(parts, cells, strict=False))


def _pair(number: str, given: Mapping[str, Any]) -> Input:
    second = given.get("second")
    row = PairRow(
        str(given.get("id", number)), _text(given["first"]), None if second is None else _text(second), None
    )
    return Input(row)


def _tagged(number: str, given: Mapping[str, Any]) -> Input:
    if "tokens" in given:
        tokens = _texts(given["tokens"])
        text = " ".join(tokens)
        starts = [sum(len(token) + 1 for token in tokens[:n]) for n in range(len(tokens))]
        offsets = tuple((start, start + len(token)) for start, token in zip(starts, tokens, strict=True))
    else:
        text = _text(given["text"])
        offsets = tuple(match.span() for match in _TOKEN.finditer(text))
        tokens = tuple(text[start:end] for start, end in offsets)
    if not tokens:
        raise ValueError("no token in it")
    return Input(TaggedRow(str(given.get("id", number)), tokens, None), text, offsets)


def _question(number: str, given: Mapping[str, Any]) -> Input:
    row = QuestionRow(str(given.get("id", number)), _text(given["question"]), _text(given["context"]), None)
    return Input(row)


def _choice(number: str, given: Mapping[str, Any]) -> Input:
    choices = _texts(given["choices"])
    if len(choices) < 2:
        raise ValueError("fewer than two choices")
    return Input(ChoiceRow(str(given.get("id", number)), _text(given["prompt"]), choices, None))


def _query(number: str, given: Mapping[str, Any]) -> Input:
    return Input(RetrievalRow(str(given.get("id", number)), _text(given["text"]), "query"))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is empty or not a string")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("not a list of texts")
    return tuple(_text(each) for each in value)


_READERS: dict[KindName, Callable[[str, Mapping[str, Any]], Input]] = {
    "sequence": _pair,
    "tagging": _tagged,
    "span": _question,
    "choice": _choice,
    "retrieval": _query,
}


def with_spans(given: Input, prediction: Mapping[str, Any]) -> dict[str, Any]:
    """A tagging prediction with one span per tagged stretch: label, text and character offsets.

    BIO tags of one entity are joined; other tags (parts of speech) give one span a token, "O" none.
    """
    found = dict(prediction)
    if not given.offsets:
        return found
    spans: list[dict[str, Any]] = []
    before = "O"
    for (start, end), tag in zip(given.offsets, prediction["tags"], strict=True):
        label = tag.split("-", 1)[-1]
        if tag.startswith("I-") and before != "O" and before.split("-", 1)[-1] == label:
            spans[-1]["end"] = end
        elif tag != "O":
            spans.append({"label": label, "start": start, "end": end})
        before = tag
    found["spans"] = [{**span, "text": given.text[span["start"] : span["end"]]} for span in spans]
    return found
