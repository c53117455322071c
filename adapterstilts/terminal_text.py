"""Makes untrusted text safe to print: control characters in terminals, formulas in spreadsheets."""

from __future__ import annotations

import re

# Control characters except tab and line feed, codes that change the direction of the following text, and what
# UTF-8 cannot represent: halves of surrogate pairs, and bytes that were not UTF-8.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Spreadsheets compute a cell that begins like this, and take full-width signs for the usual ones.
_FORMULA = re.compile(" *[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def visible(text: str) -> str:
    r"""Returns the text with escapes for all characters that a terminal would act upon.

    >>> visible("a\x1b[31mb\u202ec\td")
    'a\\x1b[31mb\\u202ec\td'
    """
    return _UNSAFE.sub(lambda match: _spelled(match[0]), text)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def shown(name: object, longest: int = 100) -> str:
    r"""Returns an untrusted name for a message: on one line, short, without invisible characters.

    >>> shown("a\n\u200bb" + 9 * "c", longest=5)
    'a\\n\\u200bbc…'
    """
    text = str(name)
    text = text if len(text) <= longest else f"{text[:longest]}…"
    return "".join(letter if letter.isprintable() else _spelled(letter) for letter in text)


def csv_cell(value: object) -> object:
    """Returns a value for a CSV file: a text that a spreadsheet would compute gets a leading apostrophe.

    >>> csv_cell("=1+2"), csv_cell("a=b"), csv_cell(-1.5)
    ("'=1+2", 'a=b', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if _FORMULA.match(text) or _FORMULA.match(value) else text
