"""How a sentence is written: its words joined with the spacing that they have in running text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import TaggedRow
from adapterstilts.kinds.base import Ints

# Scripts written without spaces between words: Thai, Lao, Tibetan and Burmese; Khmer; Chinese characters,
# kana and bopomofo with their punctuation and wide forms. Hangul is not among them.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u19e0-\u19ff\u3000-\u312f\u31a0-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\uf900-\ufaff\uff00-\uff9f\U00020000-\U0003ffff]"
)

# Languages whose sentences are tagged as written by default, also if training was word by word. Measured
# (docs/results.md) with adapters trained on separate English words, F1 on 300 development sentences, separate
# and as written: Chinese parts of speech 17.7 and 43.8, entities 23.2 and 43.5; Japanese parts of speech 8.8
# and 36.3. Where words have single spaces nothing changes, and real spacing loses there (Turkish 68.0 and
# 61.0, French 86.1 and 80.9). The other languages here are chosen by their script, not measured.
WRITTEN_LANGUAGES = frozenset({"bo", "ja", "km", "lo", "lzh", "my", "th", "wuu", "yue", "zh"})

_SPACE_MARKS = ["\u2581", "\u0120"]  # of SentencePiece and of byte-level BPE


def written(row: TaggedRow) -> tuple[str, list[tuple[int, int]]]:
    """Returns the sentence as one text, and the start and end character of each word.

    Spaces are as the release specifies. If it does not, a space separates two words unless the script on
    either side is written without.
    """
    spaces = _spaces(row.tokens) if row.spaces is None else row.spaces
    text, spans = "", []
    for token, space in zip(row.tokens, spaces, strict=True):
        spans.append((len(text), len(text) + len(token)))
        text += token + " " * space
    return text, spans


def _spaces(tokens: Sequence[str]) -> list[bool]:
    """Whether a space follows each token, judged by the characters on both sides."""
    # PAN-X releases Chinese and Japanese character by character; word borders cannot be inferred then.
    if all(len(token) <= 1 for token in tokens):
        return [False] * len(tokens)
    edges = [(bool(_UNSPACED.match(token[:1])), bool(_UNSPACED.match(token[-1:]))) for token in tokens]
    between = [not (token[1] or following[0]) for token, following in itertools.pairwise(edges)]
    return [*between, False]


def marks(tokenizer: PreTrainedTokenizerFast) -> Ints:
    """Returns the ids of subwords that are nothing but the space before a word."""
    ids = tokenizer.convert_tokens_to_ids(_SPACE_MARKS)
    return np.array([number for number in ids if number not in (None, tokenizer.unk_token_id)], np.int32)
