"""How an extracted answer is compared with the gold ones: normalisation, exact match, word F1."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from adapterstilts.errors import unknown
from adapterstilts.tasks.spec import Task

Words = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Normaliser:
    """What an answer is reduced to before it is compared.

    Attributes:
        articles: what a space replaces after lower-casing, or None.
        is_punctuation: whether a character is taken out.
        words: splits a text without these into the units that F1 counts.
        none_counts: two answers of which nothing is left have an F1 of 1, not 0, and a gold one of which
            nothing is left counts only if there is no other (SQuAD 2.0).
    """

    articles: re.Pattern[str] | None
    is_punctuation: Callable[[str], bool]
    words: Words
    none_counts: bool = False

    def __call__(self, text: str) -> tuple[str, ...]:
        """The words of the normalised answer, in order; two answers match exactly if these are equal."""
        text = "".join(char for char in text.lower() if not self.is_punctuation(char))
        if self.articles is not None:
            text = self.articles.sub(" ", text)
        return tuple(self.words(text))


def _any_punctuation(char: str) -> bool:
    """Unicode's punctuation, and ASCII's with its symbols."""
    return char in string.punctuation or unicodedata.category(char).startswith("P")


def _whole_words(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(words.split())})\b")


def _mixed(text: str) -> list[str]:
    """Each Han character by itself, the rest between spaces."""
    return re.findall(r"[\u4e00-\u9fa5]|[^\s\u4e00-\u9fa5]+", text)


# Rajpurkar et al. 2016 (evaluate-v1.1.py): English articles, ASCII punctuation, words between spaces.
# XTREME scores XQuAD and TyDiQA like this in every language.
SQUAD = Normaliser(_whole_words("a an the"), string.punctuation.__contains__, str.split)

# Rajpurkar et al. 2018 (evaluate-v2.0.py): the same, but to answer nothing can be right.
SQUAD_V2 = replace(SQUAD, none_counts=True)

# Lewis et al. 2020 (mlqa_evaluation_v1.py), as XTREME scores MLQA. Its pattern for Arabic comes down to
# the article wherever these letters stand, also within a word.
MLQA: Mapping[str, Normaliser] = {
    language: Normaliser(articles, _any_punctuation, words)
    for language, articles, words in (
        ("ar", re.compile("ال"), str.split),
        ("de", _whole_words("ein eine einen einem eines einer der die das den dem des"), str.split),
        ("en", _whole_words("a an the"), str.split),
        ("es", _whole_words("un una unos unas el la los las"), str.split),
        ("hi", None, str.split),
        ("vi", _whole_words("của là cái chiếc những"), str.split),
        ("zh", None, _mixed),
    )
}


def normaliser(task: Task, language: str) -> Normaliser:
    """How answers of `task` in `language` are compared.

    Raises:
        ConfigError: a language that MLQA's normalisation does not know.
    """
    if task.normalisation == "mlqa":
        if language not in MLQA:
            raise unknown("language of MLQA's normalisation", language, MLQA)
        return MLQA[language]
    return SQUAD_V2 if task.unanswerable else SQUAD


def exact_match(answer: str, gold: Sequence[str], normalise: Normaliser) -> float:
    """1 if the answer equals one of the gold ones after normalisation; no gold is the gold answer ""."""
    return float(normalise(answer) in _gold(gold, normalise))


def word_f1(answer: str, gold: Sequence[str], normalise: Normaliser) -> float:
    """F1 over words, 0 to 1, best over the gold answers; no gold is the gold answer ""."""
    mine = normalise(answer)
    return max(_f1(mine, each, normalise) for each in _gold(gold, normalise))


def _gold(texts: Sequence[str], normalise: Normaliser) -> list[tuple[str, ...]]:
    found = [normalise(text) for text in texts]
    return [each for each in found if each or not normalise.none_counts] or [()]


def _f1(mine: tuple[str, ...], gold: tuple[str, ...], normalise: Normaliser) -> float:
    if not mine and not gold:
        return float(normalise.none_counts)
    common = (Counter(mine) & Counter(gold)).total()
    return 2 * common / (len(mine) + len(gold))
