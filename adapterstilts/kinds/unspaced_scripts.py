"""How a sentence is written: its words joined with the spacing that they have in running text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import TaggedRow
from adapterstilts.kinds.base import Ints
from adapterstilts.kinds.subwords import Pieces

# Scripts written without spaces between words: Thai, Lao, Tibetan and Burmese; Khmer; Chinese characters,
# kana and bopomofo with their punctuation and wide forms. Hangul is not among them.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u19e0-\u19ff\u3000-\u312f\u31a0-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\uf900-\ufaff\uff00-\uff9f\U00020000-\U0003ffff]"
)

# The languages whose sentences are tagged as they are written unless told otherwise, also where training was
# word by word. Measured (docs/results.md) with adapters trained on English words apart, F1 on 300 development
# sentences, apart and as written: Chinese parts of speech 17.7 and 43.8, entities 23.2 and 43.5; Japanese
# parts of speech 8.8 and 36.3. Where words have single spaces nothing changes, and real spacing loses there
# (Turkish 68.0 and 61.0, French 86.1 and 80.9). The others here are chosen by their script, not measured.
WRITTEN_LANGUAGES = frozenset({"bo", "ja", "km", "lo", "lzh", "my", "th", "wuu", "yue", "zh"})

_SPACE_MARKS = ["\u2581", "\u0120"]  # of SentencePiece and of byte-level BPE


def written(row: TaggedRow) -> tuple[str, list[tuple[int, int]]]:
    """The sentence as one text, and where each word begins and ends in it.

    Spaces stand where the release says so. Where it does not say, one stands between two words unless the
    script on either side does without; a sentence given character by character (PAN-X in Chinese and
    Japanese) has none, as then nothing tells which letters make a word.
    """
    spaces = _spaces(row.tokens) if row.spaces is None else row.spaces
    text, spans = "", []
    for token, space in zip(row.tokens, spaces, strict=True):
        spans.append((len(text), len(text) + len(token)))
        text += token + " " * space
    return text, spans


def _spaces(tokens: Sequence[str]) -> list[bool]:
    """Whether a space follows each token, told by the characters on both sides."""
    if all(len(token) <= 1 for token in tokens):
        return [False] * len(tokens)
    bare = [(bool(_UNSPACED.match(token[:1])), bool(_UNSPACED.match(token[-1:]))) for token in tokens]
    between = [not (left[1] or right[0]) for left, right in itertools.pairwise(bare)]
    return [*between, False]


def marks(tokenizer: PreTrainedTokenizerFast) -> Ints:
    """The ids of subwords that are nothing but the space before a word."""
    found = tokenizer.convert_tokens_to_ids(_SPACE_MARKS)
    return np.array([number for number in found if number not in (None, tokenizer.unk_token_id)], np.int32)


def read_off(text: str, spans: Sequence[tuple[int, int]], subwords: Pieces, spaces: Ints) -> Ints:
    """The subword that each word is read off [words], ascending: the first that has a character of it.

    The space before a word counts as its own, as it does where each word is tokenised alone; but a word of a
    script without spaces is not read off a mark of nothing but a space, which its first word gets. Where the
    tokenizer leaves nothing of a word, it is read off the subword of the word before, or of the first that
    has one.

    Args:
        spaces: the ids of such marks.
    """
    starts, stops = np.array(spans, np.int32).reshape(-1, 2).T
    begins, ends = (np.maximum.accumulate(edge) for edge in subwords.offsets.T)
    spaced = np.array([text[start - 1 : start] == " " for start, _ in spans], bool)
    firsts = np.searchsorted(ends, starts - spaced, "right")
    pasts = np.searchsorted(begins, stops)
    there = (starts < stops) & (firsts < pasts)
    if not there.any():
        return np.zeros(len(spans), np.int32)
    unspaced = np.array([bool(_UNSPACED.match(text, start)) for start, _ in spans], bool)
    mark = np.append(np.isin(subwords.ids, spaces), False)[firsts]
    firsts = firsts + (mark & unspaced & (firsts + 1 < pasts))
    before = np.maximum.accumulate(np.where(there, np.arange(len(spans)), there.argmax()))
    read: Ints = firsts[before].astype(np.int32)
    return read
