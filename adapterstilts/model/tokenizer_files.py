"""A backbone's tokenizer files: what is read of them, and a checked copy that transformers loads from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterstilts.bounded_json import MEGABYTE, Limits, parse_object, read_bytes
from adapterstilts.errors import BackboneError
from adapterstilts.known_keys import (
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
    refused,
    table,
    text,
    whole,
)  # fmt: skip
from adapterstilts.model.backbone_config import LARGEST_VOCABULARY, SHORTEST, tokenizer_class
from adapterstilts.model.tokenizer_rules import (
    ADDED_TOKEN,
    LONGEST_PIECE,
    MOST_ADDED,
    TOKEN_ID,
    check_tokenizer,
    vocabulary,
)
from adapterstilts.terminal_text import shown

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
CONFIG = "tokenizer_config.json"
SETTINGS = ("merges.txt", CONFIG, "special_tokens_map.json", "added_tokens.json")
FILES = (*TOKENIZERS, *SETTINGS)
LARGEST = 96 * MEGABYTE
VOCABULARY_LIMITS = Limits(size=LARGEST, depth=12, values=12_000_000)

FROM_FILE = refused("names a file; the tokenizer's files are found by their own names: remove this key")
TOKEN = nullable(either(record({"__type": choice("AddedToken"), "id": TOKEN_ID, **ADDED_TOKEN}), text(400)))
TOKENS = nullable(items(TOKEN, MOST_ADDED))
SWITCH = nullable(flag)
SPECIAL: Rules = {
    **dict.fromkeys(("bos_token", "eos_token", "cls_token", "sep_token", "unk_token", "pad_token"), TOKEN),
    "mask_token": TOKEN,
    "additional_special_tokens": TOKENS,
}


def _dropped(value: Any, place: str, check: Check) -> Any:
    check.dropped.append(place)
    return ignored(value, place, check)


def _decoder_table(value: Any, place: str, check: Check) -> dict[str, Any]:
    kept: dict[str, Any] = table(record(ADDED_TOKEN, ["content"]), MOST_ADDED)(value, place, check)
    for key in kept:
        if not (key.isascii() and key.isdigit() and len(key) <= 9):
            raise PlaceError(place, f"should have token numbers for keys, not {shown(key, 40)!r}")
    return kept


NO_FURTHER = refused("should be empty: encoders have no further kinds of special tokens")


def _extra_tokens(value: Any, place: str, check: Check) -> Any:
    """In files of transformers 5 a list: what earlier versions call additional special tokens."""
    return TOKENS(value, place, check) if isinstance(value, list) else NO_FURTHER(value, place, check)


CONFIG_RULES: Rules = {
    **SPECIAL,
    "tokenizer_class": tokenizer_class,
    "added_tokens_decoder": _decoder_table,
    "extra_special_tokens": _extra_tokens,
    "model_specific_special_tokens": NO_FURTHER,
    **dict.fromkeys(
        ("model_max_length", "max_len"), nullable(either(whole(SHORTEST, 10**31), number(SHORTEST, 1e31)))
    ),
    "model_input_names": items(choice("input_ids", "attention_mask", "token_type_ids"), 3),
    "never_split": nullable(items(text(400), 1_000)),
    "errors": choice("replace", "strict", "ignore"),
    **dict.fromkeys(("padding_side", "truncation_side"), choice("left", "right")),
    **dict.fromkeys(
        (
            "do_lower_case do_basic_tokenize tokenize_chinese_chars strip_accents add_prefix_space "
            "trim_offsets clean_up_tokenization_spaces split_special_tokens"
        ).split(),
        SWITCH,
    ),
    "auto_map": refused("names code of its own, which is never run: use a backbone without it"),
    "custom_pipelines": refused("names code, which is never run: remove this key"),
    "init_inputs": refused("should be empty"),
    "sp_model_kwargs": refused("should be empty"),
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
        ignored,
    ),
}
ADDED_TABLE: Rule = table(TOKEN_ID, MOST_ADDED)


def check_settings(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Reads the small tokenizer files of a backbone.

    Returns:
        For each file that is there, its known keys; and the names of unknown ones, which were dropped.

    Raises:
        BackboneError: A file is damaged, a value is out of bounds, or a key names code, a module, a file, a
            repository, a path or a URL.
    """
    kept, dropped = {}, []
    for name in (CONFIG, "special_tokens_map.json", "added_tokens.json"):
        if not (folder / name).exists():
            continue
        path = folder / name
        data = parse_object(read_bytes(path, Limits().size, BackboneError), path, BackboneError)
        if name == "added_tokens.json":
            kept[name], _ = keep_known({"tokens": data}, {"tokens": ADDED_TABLE}, path, BackboneError)
            kept[name] = kept[name]["tokens"]
        else:
            rules = CONFIG_RULES if name == CONFIG else SPECIAL
            kept[name], unknown = keep_known(data, rules, path, BackboneError)
            if extra := kept[name].pop("extra_special_tokens", None):
                kept[name].setdefault("additional_special_tokens", extra)
            dropped += [f"{name}: {key}" for key in unknown]
    return kept, dropped


def write_checked(folder: Path, out: Path, config: Mapping[str, Any], trusted: bool) -> list[str]:
    """Writes a checked copy of a backbone's tokenizer, with nothing beside it.

    Args:
        out: An empty folder.
        config: The encoder's configuration; of it the model type and the tokenizer's class are written.
        trusted: The vocabulary was written by this program and needs no check.

    Returns:
        The names of unknown keys in the vocabulary, which were dropped.

    Raises:
        BackboneError: See `check_settings` and `tokenizer_rules.check_tokenizer`.
    """
    settings, _ = check_settings(folder)
    dropped = []
    for name, data in settings.items():
        _write(out / name, data)
    known = {key: config[key] for key in ("model_type", "tokenizer_class") if config[key] is not None}
    _write(out / "config.json", known)
    for name in (*TOKENIZERS, "merges.txt"):
        path = folder / name
        if path.exists():
            content = read_bytes(path, LARGEST, BackboneError)
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
    kept, dropped = check_tokenizer(data, path)
    return (content if kept == data else json.dumps(kept).encode()), dropped


def _check_lines(path: Path, content: bytes) -> None:
    lines = content.split(b"\n")
    if len(lines) > LARGEST_VOCABULARY:
        raise BackboneError(f"{path} has more than {LARGEST_VOCABULARY:,} lines")
    longest = max(lines, key=len)
    if len(longest) > 4 * LONGEST_PIECE:
        where = f"{path}, line {lines.index(longest) + 1}"
        raise BackboneError(f"{where}: a piece of {len(longest):,} bytes is too long")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BackboneError(f"{path}, line {line}: not UTF-8") from None


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data), "utf-8")
