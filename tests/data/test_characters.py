"""Whole characters, and texts that show nothing."""

import unicodedata

import pytest

from adapterstilts.data.characters import SPACES, is_text, whole
from adapterstilts.data.prediction_input import _is_blank


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        ("cafe\u0301 noir", 0, 4, "cafe\u0301"),  # a combining mark
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", 1, 4, unicodedata.normalize("NFD", "한글")),  # Hangul
        ("가\u11a8a", 0, 1, "가\u11a8"),
        ("👩\u200d👧 x", 0, 1, "👩\u200d👧"),
        ("👩\u200d👧 x", 2, 3, "👩\u200d👧"),
        ("👍🏽!", 0, 1, "👍🏽"),
        ("🇫🇷🇩🇪", 2, 3, "🇩🇪"),
        ("❤\ufe0f", 0, 1, "❤\ufe0f"),
        ("น้ำ", 0, 1, "น้ำ"),
        ("किताब", 0, 1, "कि"),
        ("می\u200cرود", 0, 2, "می"),  # a zero-width non-joiner ends a character
        ("a b", 0, 1, "a"),
        (" \u0301x", 0, 1, " "),  # a mark over a space stays alone
    ],
)
def test_a_span_grows_to_whole_characters(text, start, end, expected):
    first, last = whole(text, start, end)
    assert text[first:last] == expected


def test_an_empty_span_stays_empty():
    assert whole("e\u0301", 1, 1) == (1, 1)


@pytest.mark.parametrize(
    "text", ["", " \t", "\u200b", "\u200c\ufeff\u2060", "\x00\x1b", "\u3164\u2800", "\u202e"]
)
def test_a_text_that_shows_nothing_is_blank(text):
    assert _is_blank(text)


@pytest.mark.parametrize("text", ["a", "\u200ba", ".", "👍", "\ue000", "\u0301"])
def test_a_text_that_shows_something_is_not(text):
    assert not _is_blank(text)


def test_what_utf8_cannot_hold_is_no_text():
    assert is_text("a👍") and not is_text("a\ud83d") and not is_text("\udcff")


def test_all_that_python_strips_is_a_space():
    assert not [c for c in map(chr, range(0x110000)) if c.isspace() and c not in SPACES]
