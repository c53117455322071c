"""Exact match and F1 on hand-computed cases of SQuAD's definition."""

from __future__ import annotations

import pytest

from adapterstilts.kinds.qa_text import SQUAD, exact_match, word_f1


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
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
        ("the", ["a"], 1, 1),  # both empty after normalisation
    ],
)
def test_squad_by_hand(answer, gold, em, f1):
    assert exact_match(answer, gold, SQUAD) == em
    assert word_f1(answer, gold, SQUAD) == pytest.approx(f1)
