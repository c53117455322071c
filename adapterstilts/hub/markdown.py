"""Texts in cards as the texts that they are: no Markdown, no HTML and no link of a title comes to life."""

from __future__ import annotations

import json
import re
import unicodedata
from shlex import quote
from typing import Any

LONGEST = 500  # characters of one text
KEPT = "\u200c\u200d"  # invisible, but part of how some scripts are written
SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# What GitHub's Markdown makes a link of by itself
LINKS = re.compile(r"://|\bwww\.|@|\bmailto:|\bxmpp:", re.IGNORECASE)
BLOCK = re.compile(r"^([#+\-=](?=[\s#=\-]|$)|\d+[.)](?=\s|$))")  # begins a heading, a list or a line


class Raw(str):
    """Markdown of our own, which goes into a card as it is."""

    __slots__ = ()


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text in one line: without control characters, and cut where it is too long."""
    words = " ".join(str(text).split())
    shown = "".join(
        letter
        for letter in words
        if letter in KEPT or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")
    )
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def plain(value: Any) -> str:
    r"""A value as Markdown that shows exactly it, in a paragraph, a heading or a table.

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
    """A value as a code span.

    Args:
        table: whether it stands in a table, where a `|` would end its cell.
    """
    text = one_line(value).replace("`", "'")
    return Raw(f"`{text.replace('|', chr(92) + '|') if table else text}`")


def shell(value: Any) -> Raw:
    """A text as one word of a shell's command."""
    return Raw(quote(one_line(value)))


def quoted(value: str) -> str:
    """A text as a literal of Python code."""
    return json.dumps(one_line(value), ensure_ascii=False)
