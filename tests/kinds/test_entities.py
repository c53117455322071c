"""Entities as seqeval reads them: the scored ones, and those that a prediction shows."""

import pytest

from adapterstilts.kinds.entities import chunks
from adapterstilts.kinds.tagging import _predicted_chunks


@pytest.mark.parametrize(
    ("tags", "labels", "expected"),
    [
        ("B-A I-A O B-B", "O B-A I-A B-B I-B", [("A", 0, 1), ("B", 3, 3)]),  # IOB2
        ("B-A B-A I-A", "O B-A I-A", [("A", 0, 0), ("A", 1, 2)]),
        ("I-A I-A B-A O", "O B-A I-A", [("A", 0, 1), ("A", 2, 2)]),  # IOB1
        ("I-A E-A I-A", "O I-A E-A", [("A", 0, 1), ("A", 2, 2)]),  # IOE1
        ("B-A I-A E-A O S-A S-B", "O B-A I-A E-A S-A S-B", [("A", 0, 2), ("A", 4, 4), ("B", 5, 5)]),  # IOBES
        ("B-A I-A L-A O U-A U-A", "O B-A I-A L-A U-A", [("A", 0, 2), ("A", 4, 4), ("A", 5, 5)]),  # BILOU
        ("B-A M-A E-A S-A", "B-A M-A E-A S-A O", [("A", 0, 2), ("A", 3, 3)]),  # BMES
        ("B-A M-A E-A W-A W-A", "B-A M-A E-A W-A O", [("A", 0, 2), ("A", 3, 3), ("A", 4, 4)]),  # BMEWO
        ("A-B A-I O A-B", "O A-B A-I", [("A", 0, 1), ("A", 3, 3)]),  # the position behind
        ("PER PER O LOC", "O PER LOC", [("PER", 0, 1), ("LOC", 3, 3)]),  # plain
        ("NOUN NOUN VERB X", "NOUN VERB X", [("NOUN", 0, 1), ("VERB", 2, 2), ("X", 3, 3)]),
        ("B-a-b I-a-b O", "O B-a-b I-a-b", [("a-b", 0, 1)]),  # a type with a hyphen
        (
            "proper-noun common-noun common-noun O",
            "O proper-noun common-noun",
            [("proper-noun", 0, 0), ("common-noun", 1, 2)],
        ),  # plain, with hyphens
        ("I-A I-B", "O B-A I-A B-B I-B", [("A", 0, 0), ("B", 1, 1)]),  # the type changes
        ("O O", "O B-A I-A", []),
        ("", "O B-A I-A", []),
    ],
)
def test_the_label_set_decides_the_scheme(tags, labels, expected):
    assert _predicted_chunks(tags.split(), labels.split()) == expected


def test_scores_read_tags_as_before():
    assert chunks("B-A L-A U-A".split()) == [("A", 0, 2)]  # seqeval's default knows no BILOU
    assert chunks("NOUN NOUN X".split()) == [("NOUN", 0, 1), ("X", 2, 2)]
