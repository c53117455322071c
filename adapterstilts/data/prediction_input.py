"""Reads unlabelled text for prediction, and locates predicted spans in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterstilts.data.characters import is_text, joins
from adapterstilts.data.rows import ChoiceRow, PairRow, QuestionRow, RetrievalRow, Row, TaggedRow
from adapterstilts.data.text import json_object
from adapterstilts.errors import DataError, unknown
from adapterstilts.kinds.spec import SPECS, RowForm

_INVISIBLE = frozenset({"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"})  # fillers and the blank of Braille

# One token: a character of a script written without spaces, a run of letters, digits and marks, or a sign.
# Marks are the combining characters of the Basic Multilingual Plane and the joiners inside words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06ed\u0711\u0730-\u074a\u07a6-\u07b0\u07eb-\u07f3\u0816-\u082d\u0859-\u085b\u0898-\u089f\u08ca-\u08ff"
    "\u0900-\u0963\u0966-\u0dff\u0f18\u0f19\u0f35\u0f37\u0f39\u0f3e\u0f3f\u0f71-\u0f84\u0f86-\u0fbc\u135d-\u135f"
    "\u180b-\u180f\u18a9\u1920-\u193b\u1a17-\u1a1b\u1a55-\u1a7f\u1ab0-\u1aff\u1b00-\u1b44\u1b6b-\u1b73\u1b80-\u1bad"
    "\u1be6-\u1bf3\u1c24-\u1c37\u1cd0-\u1cf9\u1dc0-\u1dff\u200c\u200d\u20d0-\u20f0\u2de0-\u2dff\ua66f-\ua67d\ua802"
    "\ua823-\ua827\ua880-\ua8c5\ua8e0-\ua8f1\ua926-\ua953\ua980-\ua9c0\uaa29-\uaa36\uabe3-\uabed\ufe20-\ufe2f"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w{_MARKS}])+|[^\w\s]")
_ALONE = re.compile(f"[{_UNSPACED}]")

MOST_CHOICES = 1000  # all choices of one row are computed in one batch


@dataclass(frozen=True)
class Input:
    """One input of a prediction, with the character offsets of its tokens (tagging only)."""

    row: Row
    text: str = ""
    offsets: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class InputForm:
    """The form of one input of a task.

    Attributes:
        kind: Kind of the task.
        texts: Number of texts that a sequence task takes; None where its definition does not say.
        labels: Labels of the task, by which files of tokens with their tags are recognised.
    """

    kind: str
    texts: int | None = None
    labels: tuple[str, ...] = ()

    @property
    def rows(self) -> RowForm:
        """Form of the rows that the inputs become."""
        return SPECS[self.kind].rows

    @property
    def parts(self) -> tuple[str, ...]:
        """Fields of a plain line, separated by tabs."""
        if self.rows == "pair":
            return ("first",) if self.texts == 1 else ("first", "second")
        return {"question": ("question", "context"), "choice": ("prompt",)}.get(self.rows, ("text",))

    @property
    def shape(self) -> str:
        """The forms of an input, for messages."""
        if self.rows == "pair" and self.texts == 1:
            return 'one text, plain or as {"text": …}'
        return _SHAPES[self.rows]

    def with_tab(self, text: str) -> str:
        r"""An argument whose first backslash-t is a tab, where two parts are expected and none is there."""
        return text.replace("\\t", "\t", 1) if len(self.parts) == 2 and "\t" not in text else text


_SHAPES: dict[RowForm, str] = {
    "pair": 'first TAB second, or {"first": …, "second": …}',
    "tagged": 'plain text, or {"tokens": […]}',
    "question": 'question TAB context, or {"question": …, "context": …}',
    "choice": '{"prompt": …, "choices": […, …]}',
    "retrieval": 'plain text, or {"text": …}',
}

# Our field -> the names that data sets and other programs give it.
_KEYS: dict[RowForm, dict[str, tuple[str, ...]]] = {
    "pair": {
        "first": (
            "first", "sentence1", "premise", "text", "text1", "text_a", "question1", "sentence", "sentence_A",
        ),
        "second": (
            "second", "sentence2", "hypothesis", "hypo", "text_pair", "text2", "text_b", "question2",
            "sentence_B",
        ),
    },
    "tagged": {"text": ("text", "sentence"), "tokens": ("tokens", "words")},
    "question": {"question": ("question", "query"), "context": ("context", "passage", "paragraph")},
    "choice": {
        "prompt": ("prompt", "question", "premise", "context"),
        "choices": ("choices", "options", "endings"),
    },
    "retrieval": {"text": ("text", "sentence", "query")},
}  # fmt: skip
_FORMS_OF_TWO: tuple[RowForm, ...] = ("pair", "question")
_HEADERS = frozenset(
    key.casefold() for form in _FORMS_OF_TWO for keys in _KEYS[form].values() for key in keys
)
_ID = ("id", "idx", "uid", "guid")


Reader = Callable[[str, Mapping[str, Any], InputForm], Input]


def read_inputs(form: InputForm | str, lines: Iterable[str], name: str) -> Iterator[Input]:
    """Inputs from lines, read as they are used: JSON objects, or text with a tab between the parts.

    A pair is `first TAB second`, a question `question TAB context`, a sentence to tag is plain text or
    `{"tokens": [...]}`, a choice `{"prompt": ..., "choices": [...]}`, a query for retrieval plain text.

    Args:
        name: Name of the file or "the argument", for messages. In a file of JSON lines (.jsonl) every line
            must be an object; elsewhere those that begin with a brace are.

    Raises:
        DataError: A line that does not hold what the task takes, with its number.
    """
    form = form if isinstance(form, InputForm) else InputForm(form)
    return _read(form, _READERS[form.rows], lines, name)


def candidates(lines: Iterable[str], name: str) -> Iterator[Input]:
    """Reads the candidates of retrieval: one text a line; the id is the line number.

    Raises:
        DataError: The file has no text.
    """
    ids: set[str] = set()
    for item in _read(InputForm("retrieval"), _candidate, (line.strip() for line in lines), name):
        if item.row.id in ids:
            raise DataError(f"two texts have the id '{item.row.id}': a neighbour is named by its id", name)
        ids.add(item.row.id)
        yield item


def _read(form: InputForm, read: Reader, lines: Iterable[str], name: str) -> Iterator[Input]:
    if name.lower().endswith((".csv", ".csv.gz")):
        raise DataError(
            f"CSV is not read here: save it as JSON lines. A {form.kind} task takes {form.shape}", name
        )
    empty = True
    for number, line in enumerate(lines, 1):
        if not _is_empty(line):
            empty = False
            yield _located(form, read, line, name, number)
    if empty:
        raise DataError("contains no text", name)


def _is_empty(line: str) -> bool:
    """Whether a line is skipped as empty; one with a tab has parts, which are empty."""
    return not line.strip() and "\t" not in line


def _located(form: InputForm, read: Reader, line: str, name: str, number: int) -> Input:
    advice = f". A {form.kind} task takes {form.shape}"
    try:
        line = line.rstrip("\r\n")
        if _is_json_lines(name) or line.lstrip().startswith("{"):
            fields = _renamed(json_object(line, name, number), form.rows)
        else:
            fields = _parts(line, form)
        return read(str(number), fields, form)
    except DataError as error:
        raise DataError(f"{error}{advice}") from None
    except ValueError as error:
        raise DataError(f"{error}{advice}", name, number) from None


def _parts(line: str, form: InputForm) -> dict[str, str]:
    """Returns the parts of a plain line by field."""
    parts = form.parts
    two = form.rows in _FORMS_OF_TWO
    cells = [line] if form.rows in ("tagged", "choice") else line.split("\t")
    if two and len(cells) == 2 and all(cell.strip().casefold() in _HEADERS for cell in cells):
        raise ValueError(f"a header ({' and '.join(cells)}), not texts: remove it")
    if form.rows == "tagged" and _is_tagged(line, form.labels):
        raise ValueError(f"a token with its tag ({line[:60]!r}), not text: remove the tags")
    if len(cells) > len(parts):
        raise ValueError(f"{len(cells)} texts with tabs between them, where {len(parts)} can be used")
    return dict(zip(parts, cells, strict=False))


def _is_tagged(line: str, labels: Sequence[str]) -> bool:
    """Whether a line holds a token and its tag; after a space, only a tag that no word looks like counts."""
    token, _, tag = line.rstrip().rpartition("\t")
    if token:
        return tag in labels
    words = line.split()
    return len(words) > 1 and "-" in words[-1] and words[-1] in labels


def _renamed(record: Mapping[str, Any], form: RowForm) -> dict[str, Any]:
    ours = {key: field for field, keys in _KEYS[form].items() for key in keys} | dict.fromkeys(_ID, "id")
    fields: dict[str, Any] = {}
    for key, value in record.items():
        if key not in ours:
            raise ValueError(str(unknown("key", key, ours)))
        if ours[key] in fields:
            names = " and ".join(f"'{name}'" for name in record if ours.get(name) == ours[key])
            raise ValueError(f"{names} both hold the {ours[key]}: keep one")
        fields[ours[key]] = value
    return fields


def _pair(number: str, fields: Mapping[str, Any], form: InputForm) -> Input:
    first = _text(fields, "first")
    second = None if fields.get("second") is None else _text(fields, "second")
    if form.texts == 2 and second is None:
        raise ValueError("one text, but this task compares two")
    if form.texts == 1 and second is not None:
        raise ValueError("two texts, but this task takes one")
    return Input(PairRow(_id(fields, number), first, second, None))


def _tagged(number: str, fields: Mapping[str, Any], form: InputForm) -> Input:
    if "tokens" in fields and "text" in fields:
        raise ValueError("both tokens and a text: keep one")
    if "tokens" in fields:
        tokens = _texts(fields, "tokens")
        text = " ".join(tokens)
        starts = [0]
        for token in tokens:
            starts.append(starts[-1] + len(token) + 1)
        offsets = tuple((start, start + len(token)) for start, token in zip(starts, tokens, strict=False))
    else:
        text = _text(fields, "text")
        offsets = tuple(_token_spans(text))
        tokens = tuple(text[start:end] for start, end in offsets)
    if not tokens:
        raise ValueError("contains no token")
    return Input(TaggedRow(_id(fields, number), tokens, None), text, offsets)


def _token_spans(text: str) -> list[tuple[int, int]]:
    """Returns the span of each token; emoji and signs keep their combining characters."""
    spans: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if spans and spans[-1][1] == start and joins(text, start) and not _ALONE.match(text, start):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _question(number: str, fields: Mapping[str, Any], form: InputForm) -> Input:
    return Input(QuestionRow(_id(fields, number), _text(fields, "question"), _text(fields, "context"), None))


def _choice(number: str, fields: Mapping[str, Any], form: InputForm) -> Input:
    prompt, choices = _text(fields, "prompt"), _texts(fields, "choices")
    if not 2 <= len(choices) <= MOST_CHOICES:
        raise ValueError(f"{len(choices)} choices, where 2 to {MOST_CHOICES} can be compared")
    return Input(ChoiceRow(_id(fields, number), prompt, choices, None))


def _query(number: str, fields: Mapping[str, Any], form: InputForm) -> Input:
    return Input(RetrievalRow(_id(fields, number), _text(fields, "text"), "query"))


def _candidate(number: str, fields: Mapping[str, Any], form: InputForm) -> Input:
    text = _text(fields, "text")
    return Input(RetrievalRow(_id(fields, number), text, "candidate"), text)


def _id(fields: Mapping[str, Any], number: str) -> str:
    value = fields.get("id", number)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"the id is {_kind_of(value)}, not text or a whole number")
    return _string(str(value), "the id")


def _text(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        raise ValueError(f"there is no {name}")
    value = _string(fields[name], f"the {name}")
    if _is_blank(value):
        raise ValueError(f"the {name} is empty" + (", or nothing in it can be seen" if value.strip() else ""))
    return value


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if name not in fields:
        raise ValueError(f"there are no {name}")
    values = fields[name]
    if not isinstance(values, list):
        raise ValueError(f"the {name} are {_kind_of(values)}, not a list of texts")
    texts = tuple(_string(value, f"number {n} of the {name}") for n, value in enumerate(values, 1))
    blank = next((n for n, text in enumerate(texts, 1) if not text.strip()), None)
    if blank:
        raise ValueError(f"number {blank} of the {name} is empty")
    return texts


def _string(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{field} is {_kind_of(value)}, not text")
    if not is_text(value):
        half = ord(next(character for character in value if not is_text(character)))
        byte = (
            f"byte 0x{half - 0xDC00:02x}" if 0xDC80 <= half <= 0xDCFF else f"half a character, U+{half:04X}"
        )
        raise ValueError(f"{field} is not UTF-8 text ({byte})")
    return value


def _kind_of(value: object) -> str:
    """Returns the type of a JSON value in words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


_READERS: dict[RowForm, Reader] = {
    "pair": _pair,
    "tagged": _tagged,
    "question": _question,
    "choice": _choice,
    "retrieval": _query,
}


def _is_blank(text: str) -> bool:
    """Whether a text shows nothing: only spaces, control characters and invisible code points."""
    return all(
        character in _INVISIBLE or (unicodedata.category(character)[0] in "ZC" and not _private(character))
        for character in text
    )


def _private(character: str) -> bool:
    return unicodedata.category(character) in ("Co", "Cn")  # fonts and later versions of Unicode show them


def _is_json_lines(name: str) -> bool:
    """Whether a file name is that of JSON lines."""
    return name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson", ".json"))
