"""From text to subwords: the few tokenizer calls that kinds share, batched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from adapterstilts.errors import ConfigError
from adapterstilts.kinds.base import Ints
from adapterstilts.kinds.offsets import repaired

CHUNK = 8192  # texts per tokenizer call: bounds the Python lists alive at once

Tokens = tuple[Ints, Ints]  # token ids and token type ids, both [length]


def sequences(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pairs: Sequence[str] | None, length: int
) -> list[Tokens]:
    """Encodes texts, or pairs of texts, with special tokens, truncated to `length` (longest first)."""
    tokens: list[Tokens] = []
    for chunk in _chunks(len(texts)):
        encoded = tokenizer(
            list(texts[chunk]),
            None if pairs is None else list(pairs[chunk]),
            truncation="longest_first",
            max_length=length,
            return_attention_mask=False,
            verbose=False,
        )
        tokens.extend(_tokens(encoded))
    return tokens


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text's subwords without special tokens.

    Attributes:
        ids: Token ids [n].
        offsets: Start and end characters of each subword [n, 2]; may include a leading space. Together they
            cover every visible character of the text.
    """

    ids: Ints
    offsets: Ints


def pieces(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> dict[str, Pieces]:
    """Returns the subwords of each distinct text, not truncated."""
    # Contexts and words repeat: SQuAD asks about five questions per paragraph.
    distinct = list(dict.fromkeys(texts))
    subwords: dict[str, Pieces] = {}
    for chunk in _chunks(len(distinct)):
        encoded = tokenizer(
            distinct[chunk],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for text, ids, offsets in zip(
            distinct[chunk], encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            spans = repaired(text, np.asarray(offsets, np.int32).reshape(-1, 2))
            subwords[text] = Pieces(np.asarray(ids, np.int32), spans)
    return subwords


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens that a tokenizer puts around one sequence, or around and between two.

    Attributes:
        specials: Special tokens before, between and after the k sequences: k + 1 entries.
        types: Token type of each sequence.
    """

    specials: tuple[Tokens, ...]
    types: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, *, pair: bool) -> Template:
        """Reads the template from an encoded example, whatever the tokenizer's type.

        Raises:
            ConfigError: The tokenizer turns a plain letter into nothing.
        """
        # `build_inputs_with_special_tokens` does not know a fast tokenizer's own post-processor.
        encoded = tokenizer(["a"], ["a"] if pair else None, verbose=False)
        ((ids, types),) = _tokens(encoded)
        owners = encoded.sequence_ids(0)
        bounds = [0]
        for number in range(2 if pair else 1):
            at = [n for n, owner in enumerate(owners) if owner == number]
            if not at:
                raise ConfigError("the tokenizer turns the text 'a' into no subword: is it complete?")
            bounds += [at[0], at[-1] + 1]
        bounds.append(len(ids))
        parts = [(ids[a:b], types[a:b]) for a, b in itertools.pairwise(bounds)]
        return cls(tuple(parts[::2]), tuple(int(part[1][0]) for part in parts[1::2]))

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return sum(len(ids) for ids, _ in self.specials)

    def start(self, *preceding: Ints) -> int:
        """Returns the position at which the sequence after `preceding` begins."""
        return sum(map(len, preceding)) + sum(len(ids) for ids, _ in self.specials[: len(preceding) + 1])

    def build(self, *parts: Ints) -> Tokens:
        """Joins the sequences with their special tokens; one part for each sequence of the template."""
        ids, types = [self.specials[0][0]], [self.specials[0][1]]
        for part, token_type, special in zip(parts, self.types, self.specials[1:], strict=True):
            ids += [part, special[0]]
            types += [np.full(len(part), token_type, np.int32), special[1]]
        return np.concatenate(ids), np.concatenate(types)


def _tokens(encoded: Any) -> Iterator[Tokens]:
    """Yields ids and types of each sequence."""
    # XLM-R's tokenizer returns no types; the model then expects zeros.
    types = encoded.get("token_type_ids")
    for n, ids in enumerate(encoded["input_ids"]):
        array = np.asarray(ids, np.int32)
        yield array, np.zeros_like(array) if types is None else np.asarray(types[n], np.int32)


def _chunks(total: int) -> Iterator[slice]:
    return (slice(at, at + CHUNK) for at in range(0, total, CHUNK))
