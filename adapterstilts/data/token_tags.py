"""Reads tagged sentences: a token, a tab and its tag on each line, an empty line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, count, islice
from pathlib import Path

from adapterstilts.data import converters
from adapterstilts.data.conllu import COLUMNS, is_conllu, read_conllu
from adapterstilts.data.converters import MalformedError
from adapterstilts.data.items import HiddenLabelsError, Item, located
from adapterstilts.data.rows import TaggedRow
from adapterstilts.data.text import OLD_MAC, numbered_lines
from adapterstilts.data.wikipedias import CODES
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

DOCUMENT = "-DOCSTART-"  # CoNLL-2003's mark of a new document, which is no sentence
SAMPLE = 1000  # lines, or sentences, from which the form of a whole file is inferred
JSON = re.compile(r"\s*[\[{]\s*[\"\[{]")
SIGN = re.compile(r"(?:\\t|[^\w\s]|_)+")  # separators between a token and its tag; `\t` as two characters
CHUNK = re.compile(r"O|[BIESLU]-\w+")
PREFIX = re.compile(r"([a-z][a-z-]{1,14}):(?=.)", re.DOTALL)

Sentence = list[tuple[int, str, str]]  # line, token, and tag ("" where the tags are hidden)


def read_token_tag(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Reads a token, a tab and its tag on each line, with an empty line between sentences.

    The raw PAN-X release (WikiANN) puts the language before each token (`en:Paris`): it is removed,
    whatever the code. Tokens of only zero-width characters are tokens: they have a tag and count in the
    score.
    A file in CoNLL-U, the form of Universal Dependencies' releases, is recognised by its content.

    Raises:
        DataError: Columns with spaces between them, or a line that is not of this form.
    """
    if is_conllu(path):
        return read_conllu(path, task, language)
    return _tagged(path, task, language)


def _tagged(path: Path, task: Task, language: str) -> Iterator[Item]:
    _check_separator(path, task)
    prefixes = _Prefixes(path, task, language)
    numbers = count(1)
    for sentence in _sentences(path, task):
        if [token for _, token, _ in sentence] == [DOCUMENT]:
            yield ()
            continue
        tags: list[str] = []
        for line, _, raw in sentence:
            try:
                tag = converters.label_of(raw, task, "tag")
            except MalformedError as error:
                raise located(error, path, line) from None
            tags += [] if tag is None else [tag]
        tokens = prefixes.without(sentence)
        yield (TaggedRow(str(next(numbers)), tuple(tokens), tuple(tags) or None),)


def _sentences(path: Path, task: Task) -> Iterator[Sentence]:
    sentence: Sentence = []
    for number, line in numbered_lines(path):
        if task.hidden and line.isspace() and not line.strip(" \t"):
            raise DataError("a line of spaces alone, neither a token nor the end of a sentence", path, number)
        if line.strip(" \t"):
            sentence.append((number, *_columns(line, path, number, task)))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _columns(text: str, path: Path, line: int, task: Task) -> tuple[str, str]:
    fields = text.split("\t")
    if len(fields) == 1:
        if text.startswith("# "):
            raise DataError(f"a comment, which this form does not have: {converters.shown(text)}", path, line)
        _check_spaces(text, path, line, task)
        if task.hidden:
            return text, ""
        raise HiddenLabelsError(
            f"no tag after {converters.shown(text)} (token, tab, tag): a file without its tags, "
            "like XTREME's test files", path, line,
        )  # fmt: skip
    if len(fields) != 2:
        mac = f" ({OLD_MAC})" if "\r" in text else ""
        raise DataError(f"{len(fields)} tab-separated columns, not 2 (token, tag){mac}", path, line)
    token, tag = fields
    if token != token.strip(" ") and token.strip(" "):
        raise DataError(
            f"a space beside the token {converters.shown(token)}: columns are separated by a tab only",
            path,
            line,
        )
    return token, tag


def _check_spaces(text: str, path: Path, line: int, task: Task) -> None:
    """Rejects one field that ends in a label of the task: the separator is a space, not a tab."""
    fields = text.split()
    if len(fields) > 1 and (fields[-1] in task.labels or fields[-1] in task.label_names):
        raise DataError(f"spaces, not a tab, between the columns of {text[:60]!r}", path, line)


def _check_separator(path: Path, task: Task) -> None:
    """Rejects a file with other separators than tabs. A file of hidden tags has a token a line.

    A token may hold a space or end in what looks like a tag, so that most lines of the file have to do so.
    """
    lines = [(n, line) for n, line in islice(numbered_lines(path), SAMPLE) if line and line[0] != "#"]
    if any("\t" in line for _, line in lines):
        return
    number, line = lines[0] if lines else (1, "")
    if JSON.match(line):
        raise DataError(f"JSON, not a token and its tag: {converters.shown(line)}", path, number)
    for columns_of, marks in ((str.split, "spaces"), (partial(_divided, task=task), "other signs")):
        divided = [(n, line) for n, line in lines if len(columns_of(line)) > 1]
        if 2 * len(divided) > len(lines):
            number, line = divided[0]
            columns = columns_of(line)
            form = "CoNLL-U" if len(columns) == COLUMNS and columns[0].isdecimal() else "token, tag"
            raise DataError(
                f"{len(columns)} fields with {marks} between them, not tabs ({form}): "
                f"{converters.shown(line)}",
                path, number,
            )  # fmt: skip


def _divided(line: str, task: Task) -> list[str]:
    """Returns a line split before its final tag, at any separator; else the whole line."""
    for sign in SIGN.finditer(line, 1):
        tag = line[sign.end() :]
        if tag in task.labels or tag in task.label_names or CHUNK.fullmatch(tag):
            return [line[: sign.start()], tag]
    return [line]


class _Prefixes:
    """Takes the language's code off the tokens of a raw WikiANN file.

    A file is raw if at least half of its tokens begin with one code. That is only looked up when all tokens
    of a sentence begin with one: other files are not read twice.
    """

    def __init__(self, path: Path, task: Task, language: str):
        codes = task.folder.codes.values() if task.folder else ()
        self._path, self._task = path, task
        self._known = CODES.union(task.languages, codes, [language])
        self._raw = ""  # the prefix of the file, once it is known to be raw
        self._checked: set[str] = set()

    def without(self, sentence: Sentence) -> Sequence[str]:
        """Returns the tokens without the prefix.

        Raises:
            DataError: A token without the prefix that the file's others have, or the other way round.
        """
        tokens = [token for _, token, _ in sentence]
        prefix = self._common(tokens)
        if not self._raw and prefix and self._share(prefix) >= 0.5:
            self._raw = prefix
        elif not self._raw and prefix and len(tokens) > 1:
            raise DataError(
                f"all tokens of this sentence begin with '{prefix}', as in raw WikiANN, but most tokens of "
                "the file do not: take the prefix off, or give every token one", self._path, sentence[0][0],
            )  # fmt: skip
        if not self._raw:
            return tokens
        for line, token, _ in sentence:
            if not token.startswith(self._raw):
                raise DataError(
                    f"the token {converters.shown(token)} lacks the prefix '{self._raw}' of the file's other "
                    "tokens",
                    self._path, line,
                )  # fmt: skip
        return [token.removeprefix(self._raw) for token in tokens]

    def _common(self, tokens: Sequence[str]) -> str:
        """Returns the common prefix of all tokens, of which at least one is longer. "" without one."""
        match = next(filter(None, map(PREFIX.match, tokens)), None)
        if match is None or match[1] not in self._known:
            return ""
        return match[0] if all(token.startswith(match[0]) for token in tokens) else ""

    def _share(self, prefix: str) -> float:
        """Returns the share of the file's tokens that begin with the prefix."""
        if prefix in self._checked:
            return 0.0
        self._checked.add(prefix)
        sentences = islice(_sentences(self._path, self._task), SAMPLE)
        tokens = [token for _, token, _ in chain.from_iterable(sentences)]
        return sum(token.startswith(prefix) for token in tokens) / len(tokens)
