"""How words are joined to a sentence as it is written."""

from __future__ import annotations

import pytest

from adapterstilts.data.rows import TaggedRow
from adapterstilts.kinds.unspaced_scripts import written


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (("Anna", "lives", "here", "."), "Anna lives here ."),
        (("我", "在", "北京", "。"), "我在北京。"),
        (("我", "在", "IBM", "工作"), "我在IBM工作"),
        (("他", "用", "Visual", "Basic", "6", "，", "很", "好"), "他用Visual Basic 6，很好"),
        (("東京", "タワー", "の", "2008", "年"), "東京タワーの2008年"),
        (("ฉัน", "รัก", "Bangkok", "Post"), "ฉันรักBangkok Post"),
        (("ខ្ញុំ", "ស្រឡាញ់"), "ខ្ញុំស្រឡាញ់"),
        (("ຂ້ອຍ", "ຮັກ"), "ຂ້ອຍຮັກ"),
        (("မြန်မာ", "စာ"), "မြန်မာစာ"),
        (("나는", "학교에", "간다"), "나는 학교에 간다"),
        (("북", "한"), "북한"),  # character by character
        (("K", "o", "b", "e", "是", "人"), "Kobe是人"),
        (("a", "\u200b", "", "北"), "a\u200b北"),
        ((), ""),
    ],
)
def test_words_are_joined_as_their_script_is_written(tokens, text):
    joined, spans = written(TaggedRow("1", tokens, None))
    assert joined == text
    assert [joined[start:end] for start, end in spans] == list(tokens)


def test_the_spacing_of_the_release_comes_first():
    row = TaggedRow("1", ("don", "'t", "東京", "x"), None, spaces=(False, True, True, False))
    assert written(row) == ("don't 東京 x", [(0, 3), (3, 5), (6, 8), (9, 10)])
