"""Escapes texts for cards, so that no Markdown, HTML or link in a title of a stranger takes effect."""

from __future__ import annotations

import json
import re
import unicodedata
from shlex import quote
from typing import Any

LONGEST = 500  # characters of one text
JOINERS = "\u200c\u200d"  # invisible, but required by Persian and Indic scripts
# An underscore inside a word is no emphasis, and names of tasks should stay readable
SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# GitHub's Markdown turns these into links without any markup
LINKS = re.compile(r"://|\bwww\.|@|\bmailto:|\bxmpp:", re.IGNORECASE)
BLOCK = re.compile(
    r"^([#+\-=](?=[\s#=\-]|$)|\d+[.)](?=\s|$))"
)  # a heading, list or rule at the start of a line


class Raw(str):
    """Trusted Markdown, which is not escaped."""

    __slots__ = ()


def one_line(text: str, longest: int = LONGEST) -> str:
    """Returns the text on one line, without control characters and truncated."""
    # A line break could end a table, a heading or the front matter of the card
    words = " ".join(str(text).split())
    # Format characters (Cf) include those that reverse the direction of a text and so disguise it
    visible = "".join(
        letter
        for letter in words
        if letter in JOINERS or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")
    )
    return visible if len(visible) <= longest else f"{visible[: longest - 1]}…"


def plain(value: Any) -> str:
    r"""Returns Markdown that shows exactly this value, in a paragraph, a heading or a table cell.

    >>> plain("a|b <b>c</b> [d](http://e)")
    'a\\|b &lt;b&gt;c&lt;/b&gt; \\[d\\](http&#58;//e)'
    """
    if isinstance(value, Raw):
        return str(value)
    text = "".join(HTML.get(letter, letter) for letter in one_line(value))
    text = SPECIAL.sub(r"\\\g<0>", text)
    text = LINKS.sub(lambda link: re.sub(r"[:.@]", lambda sign: f"&#{ord(sign[0])};", link[0]), text)
    return BLOCK.sub(lambda start: start[0][:-1] + "\\" + start[0][-1], text)


def code(value: Any, *, table: bool = False) -> Raw:
    """Returns the value as a code span.

    Args:
        value: Any value; its text is shown.
        table: Whether the code is in a table, where a `|` would end the cell.
    """
    # Escapes do not work inside a code span, so a backtick would end it
    text = one_line(value).replace("`", "'")
    return Raw(f"`{text.replace('|', chr(92) + '|') if table else text}`")


def shell(value: Any) -> Raw:
    """Returns the text as one word of a shell command, because readers copy commands from cards."""
    return Raw(quote(one_line(value)))


def quoted(value: str) -> str:
    """Returns the text as a Python literal, because readers run the code of cards."""
    return json.dumps(one_line(value), ensure_ascii=False)
