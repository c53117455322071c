"""Reads CoNLL-U, the form of Universal Dependencies' releases, as XTREME's preparation of it does.

What that does is seen in its `scripts/download_data.sh` (which has multiword tokens replaced by their fused
forms) and in `udpos_preprocess` of its `utils_preprocess.py`: https://github.com/google-research/xtreme
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from adapterstilts.data import converters
from adapterstilts.data.converters import MalformedError
from adapterstilts.data.items import Item, located
from adapterstilts.data.rows import TaggedRow
from adapterstilts.data.text import numbered_lines
from adapterstilts.tasks.spec import Task

COLUMNS = 10
NUMBER = re.compile("[0-9]{1,9}")
HIDDEN = "_"  # the form of each word of a treebank whose text is not free

# Of words equally far from the root, the one whose part of speech is listed first names the fused token.
PRECEDENCE = "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT".split()
PRECEDENCES: Mapping[str, Sequence[str]] = {
    "es": "VERB AUX PRON ADP DET".split(),
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ".split(),
    "it": "VERB AUX ADV PRON ADP DET INTJ".split(),
}


@dataclass(frozen=True, slots=True)
class _Line:
    """A word's line, or that of a multiword token, which spans several words."""

    number: int
    first: int
    last: int
    form: str
    upos: str
    heads: frozenset[int]
    space: bool


def is_conllu(path: Path) -> bool:
    """Whether the file's first line that is no comment has CoNLL-U's ten columns."""
    lines = (line for _, line in numbered_lines(path) if line and not _is_comment(line))
    return next(lines, "").count("\t") == COLUMNS - 1


def read_conllu(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Reads sentences of tokens with their UPOS, and whether a space follows each (`SpaceAfter=No`).

    A multiword token (`1-2`) is one token; its tag is that of its word nearest to the root. Empty nodes
    (`1.1`) are skipped, spaces and zero-width non-joiners inside forms removed, and sentences whose
    words are hidden skipped.

    Raises:
        DataError: A line that is not CoNLL-U's, with its number.
    """
    for number, (name, block) in zip(count(1), _sentences(path)):
        try:
            line = block[0][0]
            parsed: list[_Line] = []
            for line, text in block:
                parsed += _parsed(text, line, parsed)
            tokens = _tokens(parsed, PRECEDENCES.get(language, PRECEDENCE))
            tags: list[str] = []
            for token in tokens:
                line = token.number
                tag = converters.label_of(None if token.upos == "_" else token.upos, task, "tag")
                tags += [] if tag is None else [tag]
        except MalformedError as error:
            raise located(error, path, line) from None
        forms = tuple(token.form for token in tokens)
        hidden = forms.count(HIDDEN)
        if hidden and hidden >= len(forms) - 1:
            yield ()
            continue
        spaces = tuple(token.space for token in tokens)
        yield (TaggedRow(name or str(number), forms, tuple(tags) or None, spaces),)


def _is_comment(line: str) -> bool:
    return line.startswith("#") and "\t" not in line


def _sentences(path: Path) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Each sentence's name ("" if it has none) and its numbered lines."""
    name, block = "", []
    for number, line in numbered_lines(path):
        if _is_comment(line):
            key, _, value = line[1:].partition("=")
            name = value.strip() if key.strip() == "sent_id" else name
        elif line:
            block.append((number, line))
        elif block:
            yield name, block
            name, block = "", []
    if block:
        yield name, block


def _parsed(text: str, number: int, before: Sequence[_Line]) -> list[_Line]:
    """Returns the parsed line as a list; empty for an empty node."""
    fields = text.split("\t")
    if len(fields) != COLUMNS:
        raise MalformedError(f"{len(fields)} tab-separated columns, not the {COLUMNS} of CoNLL-U")
    key, form, _, upos, _, _, head, _, deps, misc = fields
    if "." in key:
        return []
    expected = 1 + sum(line.first == line.last for line in before)
    first, _, last = key.partition("-")
    if first != str(expected) or (last and not (NUMBER.fullmatch(last) and int(last) > expected)):
        raise MalformedError(f"the ID {converters.shown(key)} but word {expected} was expected")
    if head != "_" and not NUMBER.fullmatch(head):
        raise MalformedError(f"the head {converters.shown(head)} is not a number")
    if not form:
        raise MalformedError("a word without its FORM")
    enhanced = (dependency.partition(":")[0] for dependency in deps.split("|"))
    heads = frozenset(int(dependency) for dependency in (head, *enhanced) if NUMBER.fullmatch(dependency))
    form = form.strip().replace("\u200c", "").replace(" ", "")
    space = "SpaceAfter=No" not in misc.split("|")
    return [_Line(number, expected, int(last or expected), form, upos, heads, space)]


def _tokens(lines: Sequence[_Line], precedence: Sequence[str]) -> list[_Line]:
    """Words, those of a multiword token replaced by it."""
    words = {line.first: line for line in lines if line.first == line.last}
    tokens: list[_Line] = []
    for line in lines:
        if tokens and line.first <= tokens[-1].last:
            continue
        if line.last > len(words):
            raise MalformedError(
                f"the multiword token {line.form!r} continues to word {line.last}, which does not exist"
            )
        tokens.append(line if line.first == line.last else _fused(line, words, precedence))
    return tokens


def _fused(token: _Line, words: Mapping[int, _Line], precedence: Sequence[str]) -> _Line:
    """Returns the multiword token with the part of speech of its head."""
    rank = {upos: n for n, upos in enumerate(precedence)}
    inside = [words[n] for n in range(token.first, token.last + 1)]
    head = min(inside, key=lambda word: (_depth(word, words), rank.get(word.upos, len(rank))))
    return replace(token, upos=head.upos)


def _depth(word: _Line, words: Mapping[int, _Line]) -> int:
    """Returns the number of ancestors of a word by its head and enhanced dependencies, with the root."""
    above: set[int] = set()
    waiting = set(word.heads)
    while waiting:
        above |= waiting
        waiting = {head for n in waiting if n in words for head in words[n].heads} - above
    return len(above - {word.first})
