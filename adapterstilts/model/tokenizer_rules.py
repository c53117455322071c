"""The allow-list for `tokenizer.json`: known components, bounded so that no text blows up or hangs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from adapterstilts.errors import BackboneError
from adapterstilts.known_keys import (
    SHORT,
    Check,
    PlaceError,
    Rule,
    Rules,
    choice,
    either,
    flag,
    ignored,
    items,
    keep_known,
    nullable,
    number,
    record,
    table,
    text,
    whole,
)  # fmt: skip
from adapterstilts.model.backbone_config import LARGEST_VOCABULARY

MOST_PARTS = 32  # normalizers, pre-tokenizers, post-processors or decoders, in sequences of any depth
DEEPEST = 3  # sequences inside one another
MOST_ADDED = 10_000
MOST_SPECIAL = 16  # special tokens around a text
LONGEST_PIECE = 1_000  # characters; memory and time of a Unigram model grow with its longest piece
LARGEST_GROWTH = 16  # how many times longer replacements may make a text
CHARSMAP = 4 * 2**20  # characters in base64
LONGEST_REPLACEMENT = 200  # bytes; Unicode's own longest has 33

# The regular expression of GPT-2 and RoBERTa, which the check below does not cover; it never goes back far.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# One atom: an escape, a class without nesting, or a plain character.
ESCAPE = r"\\[pP]\{\^?\w+\}|\\[sSwWdDhHnrtfv]|\\[^\w\s]"
ATOM = rf"(?:{ESCAPE}|\[\^?(?:{ESCAPE}|[^\]\[\\&])+\]|[^\\\[\](){{}}*+?|^$])"
# One optional atom, others once each, and a repeated one at the end alone: a match never has to go back far.
REPEATED = r"(?:[*+]|\{\d{1,2}(?:,\d{0,2})?\})"
LINEAR = re.compile(rf"(?:{ATOM}\?)?(?:{ATOM})*(?:{ATOM}{REPEATED})?", re.DOTALL)


def regex(value: Any, place: str, check: Check) -> str:
    """A regular expression whose time grows with the text's length, and no faster."""
    if not isinstance(value, str) or not 0 < len(value) <= 500:
        raise PlaceError(place, "should be a regular expression of 1 to 500 characters")
    if value != GPT2 and not all(part and LINEAR.fullmatch(part) for part in re.split(r"(?<!\\)\|", value)):
        raise PlaceError(
            place,
            f"the regular expression {SHORT.repr(value)} could take very long: only known ones and plain "
            "sequences of characters and classes are used, with a repeated one at the end alone",
        )
    return value


def _pattern(value: Any, place: str, check: Check) -> dict[str, str]:
    kept: dict[str, str] = record({"String": text(200), "Regex": regex})(value, place, check)
    if len(kept) != 1 or not all(kept.values()):
        raise PlaceError(place, "should hold either a String or a Regex, not empty")
    return kept


def _replacement(value: Any, place: str, check: Check) -> dict[str, Any]:
    """A replacement; `check_tokenizer` bounds how much longer all of them together make a text."""
    rules = {"type": ignored, "pattern": _pattern, "content": text(100)}
    kept: dict[str, Any] = record(rules, required=("pattern", "content"))(value, place, check)
    return {"type": "Replace", **kept}


def tagged(kinds: Mapping[str, Rules | Rule]) -> Rule:
    """A component that says its `type`, with the keys of that type."""

    def rule(value: Any, place: str, check: Check) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise PlaceError(place, f"should be an object, not {SHORT.repr(value)}")
        name = value.get("type")
        if not isinstance(name, str) or name not in kinds:
            raise PlaceError(f"{place}.type", f"should be one of {', '.join(kinds)}, not {SHORT.repr(name)}")
        rules = kinds[name]
        inner = rules if callable(rules) else record({"type": text(), **rules})
        kept: dict[str, Any] = inner(value, place, check)
        return kept

    return rule


def _sequence(key: str, kinds: Mapping[str, Rules | Rule], depth: int = DEEPEST) -> Rule:
    """Components of these kinds, alone or in a sequence, which may hold sequences."""
    inner = tagged(kinds) if depth == 1 else _sequence(key, kinds, depth - 1)
    return tagged({**kinds, "Sequence": {key: items(inner, MOST_PARTS)}})


AFFIX = nullable(text(40))
TOKEN = text(400)
BYTE_LEVEL: Rules = {"add_prefix_space": flag, "trim_offsets": flag, "use_regex": flag}
BEHAVIOR = choice("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
METASPACE: Rules = {
    "replacement": text(1), "str_rep": text(4), "add_prefix_space": flag, "split": flag,
    "prepend_scheme": choice("always", "never", "first"),
}  # fmt: skip


def charsmap(value: Any, place: str, check: Check) -> str:
    """SentencePiece's table of replacements: a trie, then the texts that its leaves point into.

    A trie that points out of itself, or a leaf behind the texts, would end the process.
    """
    if not isinstance(value, str) or len(value) > CHARSMAP:
        raise PlaceError(place, f"should be a text of at most {CHARSMAP:,} characters")
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
    offsets = (units >> 10) << ((units & 512) >> 6)
    # A step goes to another unit of the block of 256 that the offset chooses.
    inside = ((numbers ^ offsets) >> 8) < len(units) >> 8
    leaves = units >> 31 == 1
    targets = units[leaves] & 0x7FFFFFFF
    if not (inside | leaves).all() or (targets >= len(texts)).any():
        raise PlaceError(place, "is damaged: its trie points out of itself")
    middle = (np.frombuffer(texts, np.uint8)[targets] & 0xC0) == 0x80
    if middle.any() or not _is_text(texts):
        raise PlaceError(place, "is damaged: its replacements are not UTF-8")
    if max(map(len, texts.split(b"\0"))) > LONGEST_REPLACEMENT:
        raise PlaceError(place, f"has a replacement of more than {LONGEST_REPLACEMENT} bytes")
    return value


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


NORMALIZER = _sequence(
    "normalizers",
    {
        "BertNormalizer": {
            "clean_text": flag, "handle_chinese_chars": flag, "strip_accents": nullable(flag),
            "lowercase": flag,
        },
        "Strip": {"strip_left": flag, "strip_right": flag},
        "Precompiled": {"precompiled_charsmap": charsmap},
        "Replace": _replacement,
        "Prepend": {"prepend": text(10)},
        "ByteLevel": BYTE_LEVEL,
        **{name: {} for name in ("StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt")},
    },
)  # fmt: skip
PRE_TOKENIZER = _sequence(
    "pretokenizers",
    {
        **{name: {} for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts")},
        "ByteLevel": BYTE_LEVEL,
        "CharDelimiterSplit": {"delimiter": text(1)},
        "Metaspace": METASPACE,
        "Split": {"pattern": _pattern, "behavior": BEHAVIOR, "invert": flag},
        "Punctuation": {"behavior": BEHAVIOR},
        "Digits": {"individual_digits": flag},
        "FixedLength": {"length": whole(1, 1_000)},
    },
)
DECODER = _sequence(
    "decoders",
    {
        "BPEDecoder": {"suffix": text(40)},
        "ByteLevel": BYTE_LEVEL,
        "WordPiece": {"prefix": text(40), "cleanup": flag},
        "Metaspace": METASPACE,
        "CTC": {"pad_token": TOKEN, "word_delimiter_token": TOKEN, "cleanup": flag},
        "Replace": _replacement,
        "Strip": {"content": text(1), "start": whole(0, 16), "stop": whole(0, 16)},
        "Fuse": {},
        "ByteFallback": {},
    },
)
TOKEN_ID = whole(0, LARGEST_VOCABULARY)


def _pair(value: Any, place: str, check: Check) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise PlaceError(place, "should be a token and its number")
    return [TOKEN(value[0], place, check), TOKEN_ID(value[1], place, check)]


ROUND: Rules = {"id": TOKEN, "type_id": whole(0, 1_023)}
PIECE = record({"SpecialToken": record(ROUND), "Sequence": record({**ROUND, "id": choice("A", "B")})})
SPECIAL = record(
    {"id": TOKEN, "ids": items(TOKEN_ID, MOST_SPECIAL), "tokens": items(TOKEN, MOST_SPECIAL)},
    required=("id", "ids", "tokens"),
)
TEMPLATE = record(
    {
        "type": text(),
        "single": items(PIECE, MOST_SPECIAL),
        "pair": items(PIECE, MOST_SPECIAL),
        "special_tokens": table(SPECIAL, MOST_SPECIAL),
    },
    required=("single", "pair", "special_tokens"),
)


def _template(value: Any, place: str, check: Check) -> dict[str, Any]:
    """A template in which each text occurs once: none is lost or repeated."""
    kept: dict[str, Any] = TEMPLATE(value, place, check)
    for key, texts in (("single", ["A"]), ("pair", ["A", "B"])):
        sequences = [piece["Sequence"].get("id") for piece in kept[key] if "Sequence" in piece]
        if sorted(map(str, sequences)) != texts:
            raise PlaceError(f"{place}.{key}", f"should hold {' and '.join(texts)} once each")
    return kept


POST_PROCESSOR = _sequence(
    "processors",
    {
        "BertProcessing": {"sep": _pair, "cls": _pair},
        "RobertaProcessing": {"sep": _pair, "cls": _pair, "trim_offsets": flag, "add_prefix_space": flag},
        "ByteLevel": BYTE_LEVEL,
        "TemplateProcessing": _template,
    },
)


def vocabulary(value: Any, place: str, check: Check) -> dict[str, int]:
    """Pieces with their numbers."""
    if not isinstance(value, dict) or not 0 < len(value) <= LARGEST_VOCABULARY:
        raise PlaceError(place, f"should be an object of 1 to {LARGEST_VOCABULARY:,} pieces")
    if set(map(type, value.values())) != {int} or not 0 <= min(value.values()) <= max(value.values()) < 2**31:
        raise PlaceError(place, "should give each piece a whole number")
    _check_lengths(value, place)
    return value


def _check_lengths(pieces: Iterable[str], place: str) -> None:
    longest = max(map(len, pieces))
    if longest > LONGEST_PIECE:
        raise PlaceError(place, f"has a piece of {longest:,} characters, at most {LONGEST_PIECE:,} are read")


def _scored(value: Any, place: str, check: Check) -> list[Any]:
    """Pieces with their log probabilities."""
    if not isinstance(value, list) or not 0 < len(value) <= LARGEST_VOCABULARY:
        raise PlaceError(place, f"should be a list of 1 to {LARGEST_VOCABULARY:,} pieces")
    for item in value:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not str or type(item[1]) is bool:
            raise PlaceError(place, f"should hold pieces with their scores, not {SHORT.repr(item)}")
        if not isinstance(item[1], int | float) or abs(item[1]) > 1e6:
            raise PlaceError(place, f"should hold scores of at most a million, not {SHORT.repr(item[1])}")
    _check_lengths((item[0] for item in value), place)
    return value


def _merges(value: Any, place: str, check: Check) -> list[Any]:
    if not isinstance(value, list) or len(value) > LARGEST_VOCABULARY:
        raise PlaceError(place, f"should be a list of at most {LARGEST_VOCABULARY:,} merges")
    for item in value:
        parts = item if isinstance(item, list) else item.split(" ") if isinstance(item, str) else ()
        if len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
            raise PlaceError(place, f"should hold pairs of pieces, not {SHORT.repr(item)}")
    return value


MODELS: Mapping[str, Rules] = {
    "WordPiece": {
        "unk_token": TOKEN, "continuing_subword_prefix": text(40),
        "max_input_chars_per_word": whole(1, 1_000), "vocab": vocabulary,
    },
    "BPE": {
        # With dropout the same text would be encoded differently each time.
        "dropout": either(choice(None), number(0, 0)), "unk_token": nullable(TOKEN),
        "continuing_subword_prefix": AFFIX, "end_of_word_suffix": AFFIX, "fuse_unk": flag,
        "byte_fallback": flag, "ignore_merges": flag, "vocab": vocabulary, "merges": _merges,
    },
    "Unigram": {"unk_id": nullable(TOKEN_ID), "vocab": _scored, "byte_fallback": flag},
    "WordLevel": {"vocab": vocabulary, "unk_token": TOKEN},
}  # fmt: skip


def _model(value: Any, place: str, check: Check) -> dict[str, Any]:
    if isinstance(value, dict) and "type" not in value:  # older files leave it to the other keys
        name = (
            "BPE" if "merges" in value else "Unigram" if isinstance(value.get("vocab"), list) else "WordPiece"
        )
        value = {"type": name, **value}
    kept: dict[str, Any] = tagged(MODELS)(value, place, check)
    if "vocab" not in kept:
        raise PlaceError(place, "has no 'vocab'")
    _check_unknown(kept, place)
    return kept


def _check_unknown(model: Mapping[str, Any], place: str) -> None:
    """Refuses a model that would fail at the first text with a character that it does not know."""
    match model["type"]:
        case "Unigram":
            number = model.get("unk_id")
            if number is None or number >= len(model["vocab"]):
                raise PlaceError(f"{place}.unk_id", f"{SHORT.repr(number)} is not the number of a piece")
        case "WordPiece" | "WordLevel":
            if model.get("unk_token") not in model["vocab"]:
                raise PlaceError(f"{place}.unk_token", "is not one of the pieces")
        case "BPE":
            token = model.get("unk_token")
            if token is not None and token not in model["vocab"]:
                raise PlaceError(f"{place}.unk_token", "is not one of the pieces")


ADDED_TOKEN: Rules = {
    "content": TOKEN, "lstrip": flag, "rstrip": flag, "single_word": flag, "normalized": flag,
    "special": flag,
}  # fmt: skip
SEQUENCES = {
    "normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors",
    "decoder": "decoders",
}  # fmt: skip
RULES: Rules = {
    "version": choice("1.0"),
    "truncation": ignored,  # each call sets its own
    "padding": ignored,
    "added_tokens": items(record({"id": TOKEN_ID, **ADDED_TOKEN}, ("id", "content")), MOST_ADDED),
    "normalizer": nullable(NORMALIZER),
    "pre_tokenizer": nullable(PRE_TOKENIZER),
    "post_processor": nullable(POST_PROCESSOR),
    "decoder": nullable(DECODER),
    "model": _model,
}


def check_tokenizer(data: Mapping[str, Any], where: object) -> tuple[dict[str, Any], list[str]]:
    """Takes the known components of a `tokenizer.json`.

    Returns:
        The tokenizer without truncation and padding, which each call sets; and the names of unknown keys,
        which were dropped.

    Raises:
        BackboneError: An unknown component, a value out of bounds, a regular expression that could take
            very long, replacements or steps that make a text many times longer, or a damaged table.
    """
    kept, dropped = keep_known(data, RULES, where, BackboneError)
    if "model" not in kept:
        raise BackboneError(f"{where} has no 'model'")
    _check_steps(kept, where)
    growth = _growth_of(kept.get("normalizer"))
    if growth > LARGEST_GROWTH:
        raise BackboneError(
            f"{where}: its replacements can make a text more than {LARGEST_GROWTH} times longer"
        )
    return {"truncation": None, "padding": None, **kept}, dropped


def _check_steps(kept: Mapping[str, Any], where: object) -> None:
    """Bounds the steps that each text goes through, those in sequences of sequences included."""
    steps = {key: list(_steps(kept.get(key), inner)) for key, inner in SEQUENCES.items()}
    for key, types in steps.items():
        if len(types) > MOST_PARTS:
            raise BackboneError(f"{where}: {key} has {len(types):,} steps, at most {MOST_PARTS} are read")
    # ByteLevel writes other bytes as two, Metaspace puts a character before each word: two of them double.
    types = [*steps["normalizer"], *steps["pre_tokenizer"]]
    if sum(name in ("ByteLevel", "Metaspace") for name in types) > 1:
        raise BackboneError(
            f"{where}: normalizer and pre_tokenizer should hold one ByteLevel or Metaspace at most; each "
            "makes a text longer"
        )


def _steps(component: Any, inner: str) -> Iterator[str]:
    """The types of a component's steps."""
    if component and component["type"] == "Sequence":
        for part in component.get(inner, ()):
            yield from _steps(part, inner)
    elif component:
        yield component["type"]


def _growth_of(normalizer: Any) -> float:
    """How many times longer the replacements of a normalizer can make a text, at most."""
    if not normalizer:
        return 1
    if normalizer["type"] == "Sequence":
        growth = 1.0
        for part in normalizer.get("normalizers", ()):
            growth *= _growth_of(part)
        return growth
    if normalizer["type"] == "Precompiled":
        return LARGEST_GROWTH / 3  # one table of replacements, never two in a row
    if normalizer["type"] != "Replace":
        return 1
    # A regular expression can match a single character.
    shortest = len(normalizer["pattern"].get("String", "x"))
    return max(1.0, len(normalizer["content"]) / shortest)
