"""Exact match and F1 on hand-computed cases of SQuAD's and MLQA's definitions."""

from __future__ import annotations

import pytest

from adapterstilts.errors import ConfigError
from adapterstilts.kinds.answer_normalisation import MLQA, SQUAD, SQUAD_V2, normaliser


@pytest.mark.parametrize(
    ("answer", "gold", "em", "f1"),
    [
        ("The Denver Broncos!", ["denver broncos"], 1, 1),
        ("in the city of Paris", ["Paris"], 0, 2 / 5),  # in city of paris: 1 of 4, 1 of 1
        ("Paris Paris", ["Paris, Paris, Berlin"], 0, 4 / 5),  # counted with repetition: 2 of 2, 2 of 3
        ("a cat", ["dog", "big cat", "the cat"], 1, 1),  # the best gold answer counts
        ("theatre", ["atre"], 0, 0),  # articles are whole words
        ("2,000", ["2000"], 1, 1),
        ("東京都", ["東京"], 0, 0),  # no segmentation
        ("„Berlin“", ["Berlin"], 0, 0),  # ASCII punctuation only
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
        ("the", ["a"], 1, 0),  # both empty after normalisation: no word in common
    ],
)
def test_squad_by_hand(answer, gold, em, f1):
    assert SQUAD.exact_match(answer, gold) == em
    assert SQUAD.word_f1(answer, gold) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "gold", "em", "f1"),
    [
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("the", ["a"], 1, 1),
        ("the", ["a", "Paris"], 0, 0),  # a gold answer of which nothing is left counts only if it is alone
        ("the Paris", ["a", "Paris"], 1, 1),
    ],
)
def test_squad_2_by_hand(answer, gold, em, f1):
    assert SQUAD_V2.exact_match(answer, gold) == em
    assert SQUAD_V2.word_f1(answer, gold) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("language", "answer", "gold", "em", "f1"),
    [
        ("en", "„The“ Beatles", "Beatles", 1, 1),  # punctuation of all scripts goes
        ("de", "der alte Dom", "Dom", 0, 2 / 3),
        ("de", "the Dom", "Dom", 0, 2 / 3),  # English articles are words here
        ("es", "¿los Andes?", "Andes", 1, 1),
        ("vi", "của Hà Nội", "Hà Nội", 1, 1),
        ("ar", "البيت الكبير", "بيت كبير", 1, 1),
        ("ar", "سالم", "س م", 1, 1),  # the article's letters go within a word too
        ("hi", "दिल्ली।", "दिल्ली", 1, 1),  # the danda is punctuation
        ("zh", "北京市", "北京", 0, 4 / 5),  # 2 of 3 characters, 2 of 2
        ("zh", "苹果iPhone 4", "苹果 iPhone 4", 1, 1),  # Han one by one, the rest between spaces
        ("zh", "《红楼梦》", "红楼梦", 1, 1),
        ("zh", "Paris", "Par", 0, 0),
        ("en", "the", "an", 1, 0),
    ],
)
def test_mlqa_by_hand(language, answer, gold, em, f1):
    assert MLQA[language].exact_match(answer, [gold]) == em
    assert MLQA[language].word_f1(answer, [gold]) == pytest.approx(f1)


def test_the_task_says_how_its_answers_are_compared(task_of):
    squad, squad_2 = task_of("span"), task_of("span", unanswerable=True)
    mlqa = squad.model_copy(update={"normalisation": "mlqa"})
    assert normaliser(squad, "de") is SQUAD and normaliser(squad_2, "en") is SQUAD_V2
    assert normaliser(mlqa, "de") is MLQA["de"]
    with pytest.raises(ConfigError, match=r"'fr'.*ar, de, en, es, hi, vi, zh"):
        normaliser(mlqa, "fr")
