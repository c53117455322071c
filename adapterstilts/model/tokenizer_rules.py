"""The allow-list for `tokenizer.json`: known components with bounds on time and memory."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from adapterstilts.errors import BackboneError
from adapterstilts.known_keys import SHORT, Accept, Check, PlaceError, Rule, Rules, keep_known  # fmt: skip
from adapterstilts.model.backbone_config import MAX_VOCABULARY

MAX_PARTS = 32  # normalizers, pre-tokenizers, post-processors or decoders, nested ones included
MAX_DEPTH = 3  # nested sequences
MAX_ADDED = 10_000
MAX_SPECIAL = 16  # special tokens around a text
MAX_PIECE = 1_000  # characters; memory and time of a Unigram model grow with its longest piece
MAX_GROWTH = 16  # factor by which replacements may lengthen a text
MAX_CHARSMAP = 4 * 2**20  # characters in base64
MAX_REPLACEMENT = 200  # bytes; Unicode's own longest has 33

# The regular expression of GPT-2 and RoBERTa. The check below does not cover it, but it backtracks little.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# One atom: an escape, a class without nesting, or a plain character.
ESCAPE = r"\\[pP]\{\^?\w+\}|\\[sSwWdDhHnrtfv]|\\[^\w\s]"
ATOM = rf"(?:{ESCAPE}|\[\^?(?:{ESCAPE}|[^\]\[\\&])+\]|[^\\\[\](){{}}*+?|^$])"
# One optional atom, then single atoms, and a repeated one only at the end: a match hardly backtracks.
REPEATED = r"(?:[*+]|\{\d{1,2}(?:,\d{0,2})?\})"
LINEAR = re.compile(rf"(?:{ATOM}\?)?(?:{ATOM})*(?:{ATOM}{REPEATED})?", re.DOTALL)


def _regex(value: Any, place: str, check: Check) -> str:
    """Checks that a regular expression's time is linear in the length of the text."""
    if not isinstance(value, str) or not 0 < len(value) <= 500:
        raise PlaceError(place, "should be a regular expression of 1 to 500 characters")
    if value != GPT2 and not all(part and LINEAR.fullmatch(part) for part in re.split(r"(?<!\\)\|", value)):
        raise PlaceError(
            place,
            f"the regular expression {SHORT.repr(value)} could take very long: only known ones and plain "
            "sequences of characters and classes are supported, with a repeated one only at the end",
        )
    return value


def _pattern(value: Any, place: str, check: Check) -> dict[str, str]:
    pattern: dict[str, str] = Accept.record({"String": Accept.text(200), "Regex": _regex})(
        value, place, check
    )
    if len(pattern) != 1 or not all(pattern.values()):
        raise PlaceError(place, "should hold either a String or a Regex, not empty")
    return pattern


def _replacement(value: Any, place: str, check: Check) -> dict[str, Any]:
    # `check_tokenizer` bounds how much all replacements together lengthen a text.
    rules = {"type": Accept.ignored, "pattern": _pattern, "content": Accept.text(100)}
    replacement: dict[str, Any] = Accept.record(rules, required=("pattern", "content"))(value, place, check)
    return {"type": "Replace", **replacement}


def _tagged(kinds: Mapping[str, Rules | Rule]) -> Rule:
    """Returns the rule for a component with a `type` and the keys of that type."""

    def rule(value: Any, place: str, check: Check) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise PlaceError(place, f"should be an object, not {SHORT.repr(value)}")
        name = value.get("type")
        if not isinstance(name, str) or name not in kinds:
            raise PlaceError(f"{place}.type", f"should be one of {', '.join(kinds)}, not {SHORT.repr(name)}")
        rules = kinds[name]
        inner = rules if callable(rules) else Accept.record({"type": Accept.text(), **rules})
        component: dict[str, Any] = inner(value, place, check)
        return component

    return rule


def _sequence(key: str, kinds: Mapping[str, Rules | Rule], depth: int = MAX_DEPTH) -> Rule:
    """Returns the rule for a component of these kinds, or a sequence of them, which may be nested."""
    inner = _tagged(kinds) if depth == 1 else _sequence(key, kinds, depth - 1)
    return _tagged({**kinds, "Sequence": {key: Accept.items(inner, MAX_PARTS)}})


AFFIX = Accept.nullable(Accept.text(40))
TOKEN = Accept.text(400)
BYTE_LEVEL: Rules = {"add_prefix_space": Accept.flag, "trim_offsets": Accept.flag, "use_regex": Accept.flag}
BEHAVIOR = Accept.choice("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
METASPACE: Rules = {
    "replacement": Accept.text(1), "str_rep": Accept.text(4), "add_prefix_space": Accept.flag,
    "split": Accept.flag,
    "prepend_scheme": Accept.choice("always", "never", "first"),
}  # fmt: skip


def _charsmap(value: Any, place: str, check: Check) -> str:
    """Checks SentencePiece's table of replacements: a trie, then the texts that its leaves point to."""
    if not isinstance(value, str) or len(value) > MAX_CHARSMAP:
        raise PlaceError(place, f"should be a text of at most {MAX_CHARSMAP:,} characters")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise PlaceError(place, "is not base64") from None
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or not size or size % 1024 or size > len(data) - 4:
        raise PlaceError(place, "is damaged: its trie has an impossible size")
    texts = data[4 + size :]
    units = np.frombuffer(data, "<u4", size // 4, 4)
    numbers = np.arange(len(units), dtype=np.uint32)
    # The format of the darts-clone library: 22 bits of offset, shifted by 8 if bit 9 is set. A step leads to
    # another unit of the block of 256 that the offset selects. A step out of the trie, or a leaf that points
    # behind the texts, would crash the process.
    offsets = (units >> 10) << ((units & 512) >> 6)
    inside = ((numbers ^ offsets) >> 8) < len(units) >> 8
    leaves = units >> 31 == 1
    targets = units[leaves] & 0x7FFFFFFF
    if not (inside | leaves).all() or (targets >= len(texts)).any():
        raise PlaceError(place, "is damaged: its trie points out of itself")
    # A leaf must not point into the middle of a character.
    damaged = ((np.frombuffer(texts, np.uint8)[targets] & 0xC0) == 0x80).any()
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError:
        damaged = True
    if damaged:
        raise PlaceError(place, "is damaged: its replacements are not UTF-8")
    if max(map(len, texts.split(b"\0"))) > MAX_REPLACEMENT:
        raise PlaceError(place, f"has a replacement of more than {MAX_REPLACEMENT} bytes")
    return value


NORMALIZER = _sequence(
    "normalizers",
    {
        "BertNormalizer": {
            "clean_text": Accept.flag, "handle_chinese_chars": Accept.flag,
            "strip_accents": Accept.nullable(Accept.flag),
            "lowercase": Accept.flag,
        },
        "Strip": {"strip_left": Accept.flag, "strip_right": Accept.flag},
        "Precompiled": {"precompiled_charsmap": _charsmap},
        "Replace": _replacement,
        "Prepend": {"prepend": Accept.text(10)},
        "ByteLevel": BYTE_LEVEL,
        **{name: {} for name in ("StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt")},
    },
)  # fmt: skip
PRE_TOKENIZER = _sequence(
    "pretokenizers",
    {
        **{name: {} for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts")},
        "ByteLevel": BYTE_LEVEL,
        "CharDelimiterSplit": {"delimiter": Accept.text(1)},
        "Metaspace": METASPACE,
        "Split": {"pattern": _pattern, "behavior": BEHAVIOR, "invert": Accept.flag},
        "Punctuation": {"behavior": BEHAVIOR},
        "Digits": {"individual_digits": Accept.flag},
        "FixedLength": {"length": Accept.whole(1, 1_000)},
    },
)
DECODER = _sequence(
    "decoders",
    {
        "BPEDecoder": {"suffix": Accept.text(40)},
        "ByteLevel": BYTE_LEVEL,
        "WordPiece": {"prefix": Accept.text(40), "cleanup": Accept.flag},
        "Metaspace": METASPACE,
        "CTC": {"pad_token": TOKEN, "word_delimiter_token": TOKEN, "cleanup": Accept.flag},
        "Replace": _replacement,
        "Strip": {"content": Accept.text(1), "start": Accept.whole(0, 16), "stop": Accept.whole(0, 16)},
        "Fuse": {},
        "ByteFallback": {},
    },
)
TOKEN_ID = Accept.whole(0, MAX_VOCABULARY)


def _pair(value: Any, place: str, check: Check) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise PlaceError(place, "should be a token and its id")
    return [TOKEN(value[0], place, check), TOKEN_ID(value[1], place, check)]


ROUND: Rules = {"id": TOKEN, "type_id": Accept.whole(0, 1_023)}
PIECE = Accept.record(
    {
        "SpecialToken": Accept.record(ROUND),
        "Sequence": Accept.record({**ROUND, "id": Accept.choice("A", "B")}),
    }
)
SPECIAL = Accept.record(
    {"id": TOKEN, "ids": Accept.items(TOKEN_ID, MAX_SPECIAL), "tokens": Accept.items(TOKEN, MAX_SPECIAL)},
    required=("id", "ids", "tokens"),
)
TEMPLATE = Accept.record(
    {
        "type": Accept.text(),
        "single": Accept.items(PIECE, MAX_SPECIAL),
        "pair": Accept.items(PIECE, MAX_SPECIAL),
        "special_tokens": Accept.table(SPECIAL, MAX_SPECIAL),
    },
    required=("single", "pair", "special_tokens"),
)


def _template(value: Any, place: str, check: Check) -> dict[str, Any]:
    # Each text must occur exactly once in the template.
    template: dict[str, Any] = TEMPLATE(value, place, check)
    for key, texts in (("single", ["A"]), ("pair", ["A", "B"])):
        sequences = [piece["Sequence"].get("id") for piece in template[key] if "Sequence" in piece]
        if sorted(map(str, sequences)) != texts:
            raise PlaceError(f"{place}.{key}", f"should hold {' and '.join(texts)} once each")
    return template


POST_PROCESSOR = _sequence(
    "processors",
    {
        "BertProcessing": {"sep": _pair, "cls": _pair},
        "RobertaProcessing": {
            "sep": _pair,
            "cls": _pair,
            "trim_offsets": Accept.flag,
            "add_prefix_space": Accept.flag,
        },
        "ByteLevel": BYTE_LEVEL,
        "TemplateProcessing": _template,
    },
)


def vocabulary(value: Any, place: str, check: Check) -> dict[str, int]:
    """Checks a vocabulary: pieces with their ids."""
    if not isinstance(value, dict) or not 0 < len(value) <= MAX_VOCABULARY:
        raise PlaceError(place, f"should be an object of 1 to {MAX_VOCABULARY:,} pieces")
    if set(map(type, value.values())) != {int} or not 0 <= min(value.values()) <= max(value.values()) < 2**31:
        raise PlaceError(place, "should map each piece to a whole number")
    _check_lengths(value, place)
    return value


def _check_lengths(pieces: Iterable[str], place: str) -> None:
    longest = max(map(len, pieces))
    if longest > MAX_PIECE:
        raise PlaceError(place, f"has a piece of {longest:,} characters, the maximum is {MAX_PIECE:,}")


def _scored(value: Any, place: str, check: Check) -> list[Any]:
    # Pieces of a Unigram model with their log probabilities.
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VOCABULARY:
        raise PlaceError(place, f"should be a list of 1 to {MAX_VOCABULARY:,} pieces")
    for item in value:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not str or type(item[1]) is bool:
            raise PlaceError(place, f"should hold pieces with their scores, not {SHORT.repr(item)}")
        if not isinstance(item[1], int | float) or abs(item[1]) > 1e6:
            raise PlaceError(place, f"should hold scores of at most a million, not {SHORT.repr(item[1])}")
    _check_lengths((item[0] for item in value), place)
    return value


def _merges(value: Any, place: str, check: Check) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_VOCABULARY:
        raise PlaceError(place, f"should be a list of at most {MAX_VOCABULARY:,} merges")
    for item in value:
        parts = item if isinstance(item, list) else item.split(" ") if isinstance(item, str) else ()
        if len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
            raise PlaceError(place, f"should hold pairs of pieces, not {SHORT.repr(item)}")
    return value


MODELS: Mapping[str, Rules] = {
    "WordPiece": {
        "unk_token": TOKEN, "continuing_subword_prefix": Accept.text(40),
        "max_input_chars_per_word": Accept.whole(1, 1_000), "vocab": vocabulary,
    },
    "BPE": {
        # With dropout the same text would be encoded differently each time.
        "dropout": Accept.either(Accept.choice(None), Accept.number(0, 0)),
        "unk_token": Accept.nullable(TOKEN),
        "continuing_subword_prefix": AFFIX, "end_of_word_suffix": AFFIX, "fuse_unk": Accept.flag,
        "byte_fallback": Accept.flag, "ignore_merges": Accept.flag, "vocab": vocabulary, "merges": _merges,
    },
    "Unigram": {"unk_id": Accept.nullable(TOKEN_ID), "vocab": _scored, "byte_fallback": Accept.flag},
    "WordLevel": {"vocab": vocabulary, "unk_token": TOKEN},
}  # fmt: skip


def _model(value: Any, place: str, check: Check) -> dict[str, Any]:
    if isinstance(value, dict) and "type" not in value:  # in old files the other keys determine it
        is_unigram = isinstance(value.get("vocab"), list)
        value = {"type": "BPE" if "merges" in value else "Unigram" if is_unigram else "WordPiece", **value}
    model: dict[str, Any] = _tagged(MODELS)(value, place, check)
    if "vocab" not in model:
        raise PlaceError(place, "has no 'vocab'")
    # Without a piece for unknown characters, encoding fails at the first text that has one.
    match model["type"]:
        case "Unigram":
            number = model.get("unk_id")
            if number is None or number >= len(model["vocab"]):
                raise PlaceError(f"{place}.unk_id", f"{SHORT.repr(number)} is not the id of a piece")
        case "WordPiece" | "WordLevel":
            if model.get("unk_token") not in model["vocab"]:
                raise PlaceError(f"{place}.unk_token", "is not one of the pieces")
        case "BPE":
            token = model.get("unk_token")
            if token is not None and token not in model["vocab"]:
                raise PlaceError(f"{place}.unk_token", "is not one of the pieces")
    return model


ADDED_TOKEN: Rules = {
    "content": TOKEN, "lstrip": Accept.flag, "rstrip": Accept.flag, "single_word": Accept.flag,
    "normalized": Accept.flag,
    "special": Accept.flag,
}  # fmt: skip
SEQUENCES = {
    "normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors",
    "decoder": "decoders",
}  # fmt: skip
RULES: Rules = {
    "version": Accept.choice("1.0"),
    "truncation": Accept.ignored,  # each call sets its own
    "padding": Accept.ignored,
    "added_tokens": Accept.items(
        Accept.record({"id": TOKEN_ID, **ADDED_TOKEN}, ("id", "content")), MAX_ADDED
    ),
    "normalizer": Accept.nullable(NORMALIZER),
    "pre_tokenizer": Accept.nullable(PRE_TOKENIZER),
    "post_processor": Accept.nullable(POST_PROCESSOR),
    "decoder": Accept.nullable(DECODER),
    "model": _model,
}


def check_tokenizer(data: Mapping[str, Any], source: object) -> tuple[dict[str, Any], list[str]]:
    """Checks a `tokenizer.json`.

    Args:
        data: Content of the file.
        source: Path of the file, for messages.

    Returns:
        The tokenizer without truncation and padding, which each call sets; and unknown keys, which were
        dropped.

    Raises:
        BackboneError: A component is unknown, a value is out of bounds, a regular expression could take very
            long, replacements or steps make a text many times longer, or a table is damaged.
    """
    tokenizer, dropped = keep_known(data, RULES, source, BackboneError)
    if "model" not in tokenizer:
        raise BackboneError(f"{source} has no 'model'")
    steps = {key: list(_steps(tokenizer.get(key), inner)) for key, inner in SEQUENCES.items()}
    for key, types in steps.items():
        if len(types) > MAX_PARTS:
            raise BackboneError(f"{source}: {key} has {len(types):,} steps, the maximum is {MAX_PARTS}")
    # ByteLevel turns some bytes into two, Metaspace adds a character to each word: two of them add up.
    types = [*steps["normalizer"], *steps["pre_tokenizer"]]
    if sum(name in ("ByteLevel", "Metaspace") for name in types) > 1:
        raise BackboneError(
            f"{source}: normalizer and pre_tokenizer should hold at most one ByteLevel or Metaspace; each "
            "makes a text longer"
        )
    if _growth(tokenizer.get("normalizer")) > MAX_GROWTH:
        raise BackboneError(f"{source}: its replacements can make a text more than {MAX_GROWTH} times longer")
    return {"truncation": None, "padding": None, **tokenizer}, dropped


def _steps(component: Any, inner: str) -> Iterator[str]:
    """Yields the types of a component's steps, those of nested sequences included."""
    if component and component["type"] == "Sequence":
        for part in component.get(inner, ()):
            yield from _steps(part, inner)
    elif component:
        yield component["type"]


def _growth(normalizer: Any) -> float:
    """Returns an upper bound of the factor by which a normalizer's replacements lengthen a text."""
    if not normalizer:
        return 1
    if normalizer["type"] == "Sequence":
        growth = 1.0
        for part in normalizer.get("normalizers", ()):
            growth *= _growth(part)
        return growth
    if normalizer["type"] == "Precompiled":
        return MAX_GROWTH / 3  # one table of replacements, never two in a row
    if normalizer["type"] != "Replace":
        return 1
    # A regular expression can match a single character.
    shortest = len(normalizer["pattern"].get("String", "x"))
    return max(1.0, len(normalizer["content"]) / shortest)
