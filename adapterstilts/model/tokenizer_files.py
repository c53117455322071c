"""A backbone's tokenizer files: their known keys, and a checked copy from which transformers loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterstilts.bounded_json import MEGABYTE, Limits, parse_object, read_bytes
from adapterstilts.errors import BackboneError
from adapterstilts.known_keys import Accept, Check, PlaceError, Rule, Rules, keep_known  # fmt: skip
from adapterstilts.model.backbone_config import MAX_VOCABULARY, MIN_POSITIONS, tokenizer_class
from adapterstilts.model.tokenizer_rules import (
    ADDED_TOKEN,
    MAX_ADDED,
    MAX_PIECE,
    TOKEN_ID,
    check_tokenizer,
    vocabulary,
)
from adapterstilts.terminal_text import shown

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
CONFIG = "tokenizer_config.json"
SETTINGS = ("merges.txt", CONFIG, "special_tokens_map.json", "added_tokens.json")
FILES = (*TOKENIZERS, *SETTINGS)
MAX_BYTES = 96 * MEGABYTE  # per file; those of XLM-R have 5 to 17 MB
VOCABULARY_LIMITS = Limits(size=MAX_BYTES, depth=12, values=12_000_000)

FROM_FILE = Accept.refused("names a file; the tokenizer's files have fixed names: remove this key")
TOKEN = Accept.nullable(
    Accept.either(
        Accept.record({"__type": Accept.choice("AddedToken"), "id": TOKEN_ID, **ADDED_TOKEN}),
        Accept.text(400),
    )
)
TOKENS = Accept.nullable(Accept.items(TOKEN, MAX_ADDED))
SWITCH = Accept.nullable(Accept.flag)
SPECIAL: Rules = {
    **dict.fromkeys(("bos_token", "eos_token", "cls_token", "sep_token", "unk_token", "pad_token"), TOKEN),
    "mask_token": TOKEN,
    "additional_special_tokens": TOKENS,
}


def _dropped(value: Any, place: str, check: Check) -> Any:
    # Dropped with a warning, whatever it holds: a chat template is code, and encoders have no use for it.
    check.dropped.append(place)
    return Accept.ignored(value, place, check)


def _decoder_table(value: Any, place: str, check: Check) -> dict[str, Any]:
    tokens: dict[str, Any] = Accept.table(Accept.record(ADDED_TOKEN, ["content"]), MAX_ADDED)(
        value, place, check
    )
    for key in tokens:
        if not (key.isascii() and key.isdigit() and len(key) <= 9):
            raise PlaceError(place, f"should have token ids as keys, not {shown(key, 40)!r}")
    return tokens


NO_OTHERS = Accept.refused("should be empty: encoders have no other kinds of special tokens")


def _extra_tokens(value: Any, place: str, check: Check) -> Any:
    # Files of transformers 5 hold a list here, which earlier versions call additional special tokens.
    return TOKENS(value, place, check) if isinstance(value, list) else NO_OTHERS(value, place, check)


CONFIG_RULES: Rules = {
    **SPECIAL,
    "tokenizer_class": tokenizer_class,
    "added_tokens_decoder": _decoder_table,
    "extra_special_tokens": _extra_tokens,
    "model_specific_special_tokens": NO_OTHERS,
    **dict.fromkeys(
        ("model_max_length", "max_len"),
        Accept.nullable(
            Accept.either(Accept.whole(MIN_POSITIONS, 10**31), Accept.number(MIN_POSITIONS, 1e31))
        ),
    ),
    "model_input_names": Accept.items(Accept.choice("input_ids", "attention_mask", "token_type_ids"), 3),
    "never_split": Accept.nullable(Accept.items(Accept.text(400), 1_000)),
    "errors": Accept.choice("replace", "strict", "ignore"),
    **dict.fromkeys(("padding_side", "truncation_side"), Accept.choice("left", "right")),
    **dict.fromkeys(
        (
            "do_lower_case do_basic_tokenize tokenize_chinese_chars strip_accents add_prefix_space "
            "trim_offsets clean_up_tokenization_spaces split_special_tokens"
        ).split(),
        SWITCH,
    ),
    "auto_map": Accept.refused("names custom code, which is never run: use a backbone without it"),
    "custom_pipelines": Accept.refused("names code, which is never run: remove this key"),
    "init_inputs": Accept.refused("should be empty"),
    "sp_model_kwargs": Accept.refused("should be empty"),
    "gguf_file": FROM_FILE,
    "tokenizer_file": FROM_FILE,
    "full_tokenizer_file": FROM_FILE,
    "vocab_file": FROM_FILE,
    "merges_file": FROM_FILE,
    "chat_template": _dropped,
    **dict.fromkeys(
        (
            "add_bos_token add_eos_token backend fix_mistral_regex from_slow is_local keep_accents legacy "
            "local_files_only max_length name_or_path pad_to_multiple_of pad_token_type_id padding "
            "processor_class spaces_between_special_tokens special_tokens_map_file stride "
            "transformers_version truncation truncation_strategy use_fast wordpieces_prefix"
        ).split(),
        Accept.ignored,
    ),
}
ADDED_TABLE: Rule = Accept.table(TOKEN_ID, MAX_ADDED)


def check_settings(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Reads the small tokenizer files of a backbone.

    Returns:
        Known keys of each file that exists, by the file's name; and unknown keys, which were dropped.

    Raises:
        BackboneError: A file is damaged, a value is out of bounds, or a key names code, a module, a file, a
            repository, a path or a URL.
    """
    settings: dict[str, dict[str, Any]] = {}
    dropped: list[str] = []
    for name in (CONFIG, "special_tokens_map.json", "added_tokens.json"):
        if not (folder / name).exists():
            continue
        path = folder / name
        data = parse_object(read_bytes(path, Limits().size, BackboneError), path, BackboneError)
        if name == "added_tokens.json":
            tokens, _ = keep_known({"tokens": data}, {"tokens": ADDED_TABLE}, path, BackboneError)
            settings[name] = tokens["tokens"]
        else:
            rules = CONFIG_RULES if name == CONFIG else SPECIAL
            settings[name], unknown = keep_known(data, rules, path, BackboneError)
            # Under the name that the installed version of transformers reads.
            if extra := settings[name].pop("extra_special_tokens", None):
                settings[name].setdefault("additional_special_tokens", extra)
            dropped += [f"{name}: {key}" for key in unknown]
    return settings, dropped


def write_checked(folder: Path, out: Path, config: Mapping[str, Any], trusted: bool) -> list[str]:
    """Writes a checked copy of a backbone's tokenizer.

    Args:
        folder: Folder of the backbone.
        out: Empty folder for the copy.
        config: Configuration of the encoder. Its model type and its tokenizer's class are copied.
        trusted: Whether this program wrote the vocabulary, which needs no check then.

    Returns:
        Unknown keys in the vocabulary, which were dropped.

    Raises:
        BackboneError: See `check_settings` and `tokenizer_rules.check_tokenizer`.
    """
    settings, _ = check_settings(folder)
    dropped = []
    for name, data in settings.items():
        _write(out / name, data)
    keys = ("model_type", "tokenizer_class")  # transformers chooses the class by them
    _write(out / "config.json", {key: config[key] for key in keys if config[key] is not None})
    for name in (*TOKENIZERS, "merges.txt"):
        path = folder / name
        if path.exists():
            content = read_bytes(path, MAX_BYTES, BackboneError)
            if not trusted:
                content, unknown = _checked(path, content)
                dropped += [f"{name}: {key}" for key in unknown]
            (out / name).write_bytes(content)
    return dropped


def _checked(path: Path, content: bytes) -> tuple[bytes, list[str]]:
    if path.suffix == ".txt":
        _check_lines(path, content)
    if path.suffix != ".json":
        return content, []
    data = parse_object(content, path, BackboneError, VOCABULARY_LIMITS)
    if path.name == "vocab.json":
        keep_known({"vocab": data}, {"vocab": vocabulary}, path, BackboneError)
        return content, []
    checked, dropped = check_tokenizer(data, path)
    return (content if checked == data else json.dumps(checked).encode()), dropped


def _check_lines(path: Path, content: bytes) -> None:
    # A line of vocab.txt is a piece, a line of merges.txt two.
    lines = content.split(b"\n")
    if len(lines) > MAX_VOCABULARY:
        raise BackboneError(f"{path} has more than {MAX_VOCABULARY:,} lines")
    longest = max(lines, key=len)
    if len(longest) > 4 * MAX_PIECE:
        line = lines.index(longest) + 1
        raise BackboneError(f"{path}, line {line}: a piece of {len(longest):,} bytes is too long")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BackboneError(f"{path}, line {line}: not UTF-8") from None


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data), "utf-8")
