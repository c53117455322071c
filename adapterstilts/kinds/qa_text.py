"""How an extracted answer is compared with the gold ones: normalisation, exact match, word F1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Normaliser:
    """What an answer is reduced to before it is compared.

    Attributes:
        articles: what is taken out as a whole word after lower-casing, or None.
        punctuation: characters that are taken out.
        words: splits a text without these into the units that F1 counts.
    """

    articles: re.Pattern[str] | None
    punctuation: frozenset[str]
    words: Callable[[str], list[str]]

    def __call__(self, text: str) -> tuple[str, ...]:
        """The words of the normalised answer, in order; two answers match exactly if these are equal."""
        text = "".join(char for char in text.lower() if char not in self.punctuation)
        if self.articles is not None:
            text = self.articles.sub(" ", text)
        return tuple(self.words(text))


# Rajpurkar et al. 2016 (evaluate-v1.1.py): English articles, ASCII punctuation, words between spaces.
# XTREME scores XQuAD and TyDiQA like this in every language.
SQUAD = Normaliser(re.compile(r"\b(a|an|the)\b"), frozenset(string.punctuation), str.split)


def exact_match(answer: str, gold: Sequence[str], normalise: Normaliser) -> float:
    """1 if the answer equals one of the gold ones after normalisation; no gold is the gold answer ""."""
    mine = normalise(answer)
    return float(any(mine == normalise(text) for text in gold or ("",)))


def word_f1(answer: str, gold: Sequence[str], normalise: Normaliser) -> float:
    """F1 over words, 0 to 1, best over the gold answers; no gold is the gold answer "".

    Where a side has no word left, it is 1 if both have none and else 0, as in SQuAD 2.0's script.
    """
    mine = normalise(answer)
    return max(_f1(mine, normalise(text)) for text in gold or ("",))


def _f1(mine: tuple[str, ...], gold: tuple[str, ...]) -> float:
    if not mine or not gold:
        return float(mine == gold)
    common = (Counter(mine) & Counter(gold)).total()
    return 2 * common / (len(mine) + len(gold))
