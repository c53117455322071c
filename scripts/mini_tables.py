"""Reads the hand-written tables under `scripts/mini` that the bundled mini tasks are made from."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

TABLES = Path(__file__).parent / "mini"
LANGUAGES = ("en", "de", "es", "tr", "sw", "hi", "ar", "zh", "ru", "id")
WITHOUT_SPACES = ("zh",)

ENTITY = re.compile(r"\{(PER|LOC|ORG):([^{}]*)\}")


@dataclass(frozen=True)
class Scene:
    """One small event, told in several ways in one language.

    Attributes:
        base, same, other: a statement, a paraphrase of it, and a sentence that resembles it and means
            something else.
        true, open, false: what the statement entails, leaves open and contradicts; the later scenes have
            none of these.
    """

    number: str
    base: str
    same: str
    other: str
    true: str = ""
    open: str = ""
    false: str = ""


@dataclass(frozen=True)
class Story:
    """Three sentences with entities marked as `{PER:...}`, and three (question, answer) pairs."""

    number: str
    sentences: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Entity:
    """A named entity and its character span in the plain sentence."""

    type: str
    start: int
    end: int


def blocks(path: Path) -> list[list[str]]:
    """The blocks of a table: lines, with an empty line between blocks.

    Raises:
        ValueError: text that is not in Unicode's form NFC, or spaces at the end of a line.
    """
    text = path.read_text(encoding="utf-8")
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError(f"{path} is not in NFC")
    for number, line in enumerate(text.split("\n"), start=1):
        if line != line.strip():
            raise ValueError(f"{path}, line {number}: space at the start or end")
    return [block.split("\n") for block in text.strip("\n").split("\n\n")]


def words() -> dict[str, list[str]]:
    """The words that fill the slots of English templates, by kind: lines of `kind: word, word`."""
    (lines,) = blocks(TABLES / "train" / "words.txt")
    return {kind: rest.split(", ") for kind, rest in (line.split(": ") for line in lines)}


def scenes(language: str) -> list[Scene]:
    """The scenes of one language."""
    return [Scene(*block) for block in blocks(TABLES / "scenes" / f"{language}.txt")]


def stories(language: str) -> list[Story]:
    """The stories of one language."""
    return [story(block[0], block[1:]) for block in blocks(TABLES / "stories" / f"{language}.txt")]


def story(number: str, lines: list[str]) -> Story:
    """A story from its six lines; a question and its answer are parted by ` | `.

    Raises:
        ValueError: not six lines, or a question without an answer.
    """
    if len(lines) != 6:
        raise ValueError(f"story {number}: {len(lines)} lines, not 3 sentences and 3 questions")
    pairs = [line.split(" | ") for line in lines[3:]]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"story {number}: a question without ' | ' and its answer")
    return Story(number, tuple(lines[:3]), tuple((question, answer) for question, answer in pairs))


def unmark(sentence: str) -> tuple[str, list[Entity]]:
    """The plain sentence and its entities."""
    plain, entities, end = "", [], 0
    for found in ENTITY.finditer(sentence):
        plain += sentence[end : found.start()]
        entities.append(Entity(found[1], len(plain), len(plain) + len(found[2])))
        plain += found[2]
        end = found.end()
    plain += sentence[end:]
    if "{" in plain or "}" in plain:
        raise ValueError(f"broken entity mark: {sentence}")
    return plain, entities


def context(made_of: Story, language: str) -> str:
    """The story as running text."""
    return ("" if language in WITHOUT_SPACES else " ").join(unmark(each)[0] for each in made_of.sentences)


def tokens(sentence: str) -> list[tuple[int, int]]:
    """Character spans of the tokens of a plain sentence.

    Punctuation at the edges of a word is a token of its own, inside a word it is part of it (`İzmir'de`,
    `Lotus-Krankenhaus`). Chinese is cut into characters, as in PAN-X; digits and Latin words stay whole.
    """
    spans: list[tuple[int, int]] = []
    for word in re.finditer(r"\S+", sentence):
        start, end = word.span()
        while start < end and _is_mark(sentence[start]):
            spans.append((start, start + 1))
            start += 1
        tail = end
        while tail > start and _is_mark(sentence[tail - 1]):
            tail -= 1
        spans += _characters(sentence, start, tail)
        spans += [(at, at + 1) for at in range(tail, end)]
    return spans


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


def _characters(sentence: str, start: int, end: int) -> list[tuple[int, int]]:
    """One span, or, around Han characters, one for each of them and each mark."""
    if not re.search(r"[\u4e00-\u9fff]", sentence[start:end]):
        return [(start, end)] if start < end else []
    pieces = re.compile(r"[A-Za-z0-9]+|.")
    return [(start + found.start(), start + found.end()) for found in pieces.finditer(sentence[start:end])]


def tag(sentence: str) -> list[tuple[str, str]]:
    """Tokens with BIO tags; a token with a suffix after its entity (`İzmir'de`) belongs to the entity."""
    plain, entities = unmark(sentence)
    tagged = []
    for start, end in tokens(plain):
        entity = next((each for each in entities if start < each.end and end > each.start), None)
        name = "O" if entity is None else f"{'B' if start <= entity.start else 'I'}-{entity.type}"
        tagged.append((plain[start:end], name))
    return tagged
