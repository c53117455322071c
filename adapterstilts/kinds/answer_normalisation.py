"""How an extracted answer is compared with gold answers: normalisation, exact match, word F1."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from adapterstilts.errors import unknown
from adapterstilts.tasks.spec import Task

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Normaliser:
    """Reduces an answer to what is compared.

    Attributes:
        articles: Pattern that a space replaces after lower-casing, or None.
        is_punctuation: Predicate for characters that are removed.
        split: Splits the remaining text into the units that F1 counts.
        empty_matches: Whether two answers that are empty after normalisation have an F1 of 1, not 0. Empty
            gold answers then count only if all are empty (SQuAD 2.0).
    """

    articles: re.Pattern[str] | None
    is_punctuation: Callable[[str], bool]
    split: Callable[[str], list[str]]
    empty_matches: bool = False

    def words(self, text: str) -> Words:
        """Returns the words of the normalised answer, in order."""
        # The official scripts remove punctuation first, so that "a." is an article but "a-b" one word.
        text = "".join(char for char in text.lower() if not self.is_punctuation(char))
        if self.articles is not None:
            text = self.articles.sub(" ", text)
        return tuple(self.split(text))

    def exact_match(self, answer: str, gold: Sequence[str]) -> float:
        """Returns 1 if the normalised answer equals a gold one. No gold answer is the gold answer ""."""
        return float(self.words(answer) in self._gold_words(gold))

    def word_f1(self, answer: str, gold: Sequence[str]) -> float:
        """Returns the best F1 over words, 0 to 1. No gold answer is the gold answer ""."""
        predicted = self.words(answer)
        return max(self._f1(predicted, words) for words in self._gold_words(gold))

    def _gold_words(self, texts: Sequence[str]) -> list[Words]:
        answers = [self.words(text) for text in texts]
        return [words for words in answers if words or not self.empty_matches] or [()]

    def _f1(self, predicted: Words, gold: Words) -> float:
        if not predicted and not gold:
            return float(self.empty_matches)
        # Counters, since a word that is repeated counts as often as both sides have it.
        common = (Counter(predicted) & Counter(gold)).total()
        return 2 * common / (len(predicted) + len(gold))


def _is_any_punctuation(char: str) -> bool:
    """Whether a character is Unicode punctuation, or one of ASCII's signs (which include symbols)."""
    return char in string.punctuation or unicodedata.category(char).startswith("P")


def _article_pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(words.split())})\b")


def _split_han(text: str) -> list[str]:
    """Splits Han characters one by one, the rest at spaces."""
    return re.findall(r"[\u4e00-\u9fa5]|[^\s\u4e00-\u9fa5]+", text)


# Rajpurkar et al. 2016 (evaluate-v1.1.py): English articles, ASCII punctuation, words between spaces.
# XTREME scores XQuAD and TyDiQA like this in every language.
SQUAD = _Normaliser(_article_pattern("a an the"), string.punctuation.__contains__, str.split)

# Rajpurkar et al. 2018 (evaluate-v2.0.py): the same, but an empty answer can be right.
SQUAD_V2 = replace(SQUAD, empty_matches=True)

# Lewis et al. 2020 (mlqa_evaluation_v1.py), as XTREME scores MLQA. The script's Arabic pattern removes the
# letters of the article anywhere, also within a word.
MLQA: Mapping[str, _Normaliser] = {
    language: _Normaliser(articles, _is_any_punctuation, split)
    for language, articles, split in (
        ("ar", re.compile("ال"), str.split),
        ("de", _article_pattern("ein eine einen einem eines einer der die das den dem des"), str.split),
        ("en", _article_pattern("a an the"), str.split),
        ("es", _article_pattern("un una unos unas el la los las"), str.split),
        ("hi", None, str.split),
        ("vi", _article_pattern("của là cái chiếc những"), str.split),
        ("zh", None, _split_han),
    )
}


def normaliser(task: Task, language: str) -> _Normaliser:
    """Returns the normaliser for answers of `task` in `language`.

    Raises:
        ConfigError: MLQA's normalisation does not define the language.
    """
    if task.normalisation == "mlqa":
        if language not in MLQA:
            raise unknown("language of MLQA's normalisation", language, MLQA)
        return MLQA[language]
    return SQUAD_V2 if task.unanswerable else SQUAD
