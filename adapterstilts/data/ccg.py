"""Reads CCG supertags: CCGbank's derivations, tagged sentences with pipes, or a token and its tag a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adapterstilts.data import converters
from adapterstilts.data.converters import MalformedError
from adapterstilts.data.items import HiddenLabelsError, Item, located
from adapterstilts.data.text import numbered_lines
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

# A leaf: category, two parts of speech, word, and the category with its predicate-argument numbers
# (CCGbank's manual, Hockenmaier and Steedman 2005, section on the AUTO files).
LEAF = re.compile(r"\(<L (?P<tag>[^ ]+) [^ ]+ [^ ]+ (?P<word>[^ ]+) [^ ]+>\)")
BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LCB-": "{", "-RCB-": "}", "-LSB-": "[", "-RSB-": "]"}

Tagged = tuple[int, str, list[tuple[str, str]]]  # line, id ("" where there is none), (word, supertag) pairs


def read_ccg(path: Path, task: Task, language: str) -> Iterator[Item]:
    r"""Reads sentences with a supertag for each token, in one of three formats; the first line shows which.

    `.auto` (an `ID=` line, then the derivation), `.stagged` (`word|POS|supertag` with spaces between, a
    sentence a line), or a token, a tab and its supertag a line with an empty line between sentences. The
    Penn Treebank's escapes (`-LRB-`, `\/`) become plain characters in the first two.
    """
    line_text = next(text for _, text in numbered_lines(path) if text)
    read = _derivations if line_text.startswith(("ID=", "(<")) else _columns if "\t" in line_text else _piped
    for number, (line, key, pairs) in enumerate(read(path), start=1):
        words, tags = zip(*pairs, strict=True)
        try:
            yield (converters.tagged_row(words, tags, task, key or str(number)),)
        except MalformedError as error:
            raise located(error, path, line) from None


def _derivations(path: Path) -> Iterator[Tagged]:
    key = ""
    for line, text in numbered_lines(path):
        if text.startswith("ID="):
            if key:
                raise DataError(f"{key} has no derivation: another ID= line follows it", path, line)
            key = text.split()[0].removeprefix("ID=")
        elif text:
            if not key:
                raise DataError("a derivation without the ID= line that goes before it", path, line)
            leaves = [(_plain(leaf["word"]), leaf["tag"]) for leaf in LEAF.finditer(text)]
            if not leaves or len(leaves) != text.count("(<L "):
                raise DataError(
                    "a leaf that is not of the form (<L CATEGORY POS POS WORD CATEGORY>)", path, line
                )
            yield line, key, leaves
            key = ""
    if key:
        raise DataError(f"{key} has no derivation: the file ends", path)


def _piped(path: Path) -> Iterator[Tagged]:
    for line, text in numbered_lines(path):
        if not text or (text.startswith("# ") and "|" not in text):  # the head that C&C's tools write
            continue
        pairs = []
        for token in text.split():
            fields = token.rsplit("|", 2)
            if len(fields) != 3 or not fields[0]:
                raise HiddenLabelsError(
                    f"no supertag in {converters.shown(token)} (word|POS|supertag)", path, line
                )
            pairs.append((_plain(fields[0]), fields[2]))
        yield line, "", pairs


def _columns(path: Path) -> Iterator[Tagged]:
    pairs: list[tuple[str, str]] = []
    start = 0
    for line, text in numbered_lines(path):
        if text:
            fields = text.split("\t")
            if len(fields) == 1 or not fields[1]:
                raise HiddenLabelsError(
                    f"no supertag after {converters.shown(fields[0])} (token, tab, supertag)", path, line
                )
            if len(fields) != 2:
                raise DataError(f"{len(fields)} tab-separated columns, not 2 (token, supertag)", path, line)
            start = start if pairs else line
            pairs.append((fields[0], fields[1]))
        elif pairs:
            yield start, "", pairs
            pairs = []
    yield start, "", pairs


def _plain(word: str) -> str:
    """Returns the word without the Penn Treebank's escapes."""
    return BRACKETS.get(word, word.replace("\\/", "/").replace("\\*", "*"))
