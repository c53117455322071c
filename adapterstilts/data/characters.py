"""Whole characters: which code points of a text a reader sees as one, and which texts show nothing."""

from __future__ import annotations

import unicodedata

# All that str.strip() takes, and what has no width but separates as a space does.
SPACES = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
)
_ZWJ = "\u200d"
_MARKS = frozenset({"Mn", "Mc", "Me"})
_VOWELS = frozenset({"\u0e33", "\u0eb3"})  # Thai and Lao AM: letters by category, but part of a character


def joins(text: str, at: int) -> bool:
    """Whether the code point at `at` belongs to the same character as the one before it.

    Combining marks, vowel signs, variation selectors, skin tones, conjoining Hangul, emoji joined by a
    zero-width joiner and pairs of regional indicators do. A zero-width non-joiner separates.
    """
    if not 0 < at < len(text):
        return False
    previous, character = text[at - 1], text[at]
    if character == _ZWJ or character in _VOWELS or unicodedata.category(character) in _MARKS:
        return not previous.isspace()
    if "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f":
        return not previous.isspace()
    if previous == _ZWJ:
        return unicodedata.category(character) == "So"
    return _hangul(previous, character) or _flag(text, at)


def _hangul(previous: str, character: str) -> bool:
    """Whether two code points are of one syllable: leading consonant, vowel, trailing consonant."""
    vowel, trailing = "\u1160" <= character <= "\u11a7", "\u11a8" <= character <= "\u11ff"
    open_syllable = "\uac00" <= previous <= "\ud7a3" and (ord(previous) - 0xAC00) % 28 == 0
    if vowel:
        return "\u1100" <= previous <= "\u11a7" or open_syllable
    return trailing and ("\u1160" <= previous <= "\u11ff" or "\uac00" <= previous <= "\ud7a3")


def _flag(text: str, at: int) -> bool:
    """Whether the regional indicator at `at` is the second of its pair."""
    first = at
    while first > 0 and "\U0001f1e6" <= text[first - 1] <= "\U0001f1ff":
        first -= 1
    return "\U0001f1e6" <= text[at] <= "\U0001f1ff" and (at - first) % 2 == 1


def whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Returns the smallest span of whole characters that holds [start, end); an empty span stays as it is."""
    if start >= end:
        return start, end
    while joins(text, start):
        start -= 1
    while joins(text, end):
        end += 1
    return start, end


def is_text(value: str) -> bool:
    """Whether UTF-8 can hold the text: half a surrogate pair cannot be written."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
