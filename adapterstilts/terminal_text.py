"""Text that is not ours, made safe to show: control characters in terminals, formulas in spreadsheets."""

from __future__ import annotations

import re

# Control characters but tab and line feed, codes that turn the direction of all that follows, and the halves
# of surrogate pairs and the bytes that are not UTF-8, which cannot be written.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile(" *[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def visible(text: str) -> str:
    r"""The text with what a terminal would act upon spelled out.

    >>> visible("a\x1b[31mb\u202ec\td")
    'a\\x1b[31mb\\u202ec\td'
    """
    return _UNSAFE.sub(lambda match: _spelled(match[0]), text)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def shown(name: object, longest: int = 100) -> str:
    r"""A stranger's name as a message may show it: on one line, short, with nothing invisible in it.

    >>> shown("a\n\u200bb" + 9 * "c", longest=5)
    'a\\n\\u200bbc…'
    """
    text = str(name)
    text = text if len(text) <= longest else f"{text[:longest]}…"
    return "".join(letter if letter.isprintable() else _spelled(letter) for letter in text)


def csv_cell(value: object) -> object:
    """A value for a CSV file: a text that a spreadsheet would compute gets an apostrophe before it.

    >>> csv_cell("=1+2"), csv_cell("a=b"), csv_cell(-1.5)
    ("'=1+2", 'a=b', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if _FORMULA.match(text) or _FORMULA.match(value) else text
