"""Tokenizers that would hang, take all memory, end the process, or give numbers that the encoder lacks."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adapterstilts.errors import BackboneError
from adapterstilts.known_keys import Check, PlaceError
from adapterstilts.model import backbone, tokenizer_rules
from adapterstilts.model.host import Host
from tests.conftest import build_backbone
from tests.model import hostile
from tests.model.hostile import MARKER, content, instead, settings, special, tokenizer, vocabulary

Edit = Callable[[Path], object]


@pytest.fixture
def folder(hostile_folder: Path) -> Path:
    return hostile_folder


def nested(depth: int, key: str, inner: object) -> object:
    for _ in range(depth):
        inner = {"type": "Sequence", key: [inner]}
    return inner


def replace(pattern: dict[str, str], by: str) -> dict[str, object]:
    return {"type": "Replace", "pattern": pattern, "content": by}


def split(regex: str) -> dict[str, object]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def sequence(*parts: object) -> dict[str, object]:
    return {"type": "Sequence", "normalizers": list(parts)}


def precompiled(data: bytes) -> dict[str, object]:
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}


def trie(unit: int, texts: bytes = b"x\0") -> bytes:
    """A table of replacements whose trie consists of one unit over and over."""
    return struct.pack("<I", 1024) + struct.pack("<I", unit) * 256 + texts


def piece(number: int, **more: object) -> dict[str, object]:
    """A post-processor that adds one special token, of this number, before a text."""
    token = {"SpecialToken": {"id": "<s>", "type_id": 0}, **more}
    text, pair = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    tokens = {"<s>": {"id": "<s>", "ids": [number], "tokens": ["<s>"]}}
    return {
        "type": "TemplateProcessing",
        "single": [token, text],
        "pair": [token, text, pair],
        "special_tokens": tokens,
    }


def template(single: int = 1, pair: int = 1, type_id: int = 0) -> dict[str, object]:
    """A post-processor that adds nothing, and repeats a text, or the second of two, this often."""
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    text = {"Sequence": {"id": "A", "type_id": type_id}}
    return {
        "type": "TemplateProcessing",
        "single": [text] * single,
        "pair": [first] + [second] * pair,
        "special_tokens": {},
    }


def many_special(folder: Path) -> None:
    post = piece(0)
    tokenizer(post_processor={**post, "single": [post["single"][0]] * 100_000})(folder)  # type: ignore[index]


def other_numbers(folder: Path) -> None:
    """Gives one word a number for which there is no embedding; the count of pieces stays right."""
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    hostile.change(
        folder / "tokenizer.json", model={**data["model"], "vocab": {**data["model"]["vocab"], "cat": 10**6}}
    )


def added(count: int, number: int | None = None) -> Edit:
    tokens = [
        {"id": n if number is None else number, "content": f"<{n}>", "special": True} for n in range(count)
    ]
    return tokenizer(added_tokens=tokens)


def words_only(data: bytes) -> Edit:
    def edit(folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_bytes(data)
        settings(tokenizer_class="BertTokenizer")(folder)

    return edit


CASES: dict[str, tuple[Edit, str]] = {
    "sequences inside one another": (
        tokenizer(normalizer=nested(5, "normalizers", {"type": "NFC"})),
        "nested more than|should be one of",
    ),
    "sequences without end": (
        instead(
            "tokenizer.json", content(b'{"normalizer":' + b'{"type":"Sequence","normalizers":[' * 100_000)
        ),
        "nested more than 12 deep",
    ),
    "ten thousand normalizers": (
        tokenizer(normalizer=sequence(*[{"type": "NFC"}] * 10_000)),
        "has 10,000 items, at most 32 are read",
    ),
    "backtracking in a pre-tokenizer": (tokenizer(pre_tokenizer=split("(a+)+$")), "could take very long"),
    "backtracking in a normalizer": (
        tokenizer(normalizer=replace({"Regex": r"(\w|\w\w)*\d"}, "")),
        "could take very long",
    ),
    "backtracking in a decoder": (
        tokenizer(decoder=replace({"Regex": "(x*)*y"}, "")),
        "could take very long",
    ),
    "back references": (tokenizer(pre_tokenizer=split(r"(.+)\1+")), "could take very long"),
    "a regular expression that calls itself": (
        tokenizer(pre_tokenizer=split(r"\g<0>a")),
        "could take very long",
    ),
    "look-around": (tokenizer(pre_tokenizer=split(r"(?<=a.*)b")), "could take very long"),
    "optional after optional": (tokenizer(pre_tokenizer=split("a?" * 30 + "a" * 30)), "could take very long"),
    "a text that doubles forty times": (
        tokenizer(normalizer=sequence(*[replace({"String": "a"}, "aa")] * 30)),
        "more than 16 times longer",
    ),
    "a character that becomes a hundred": (
        tokenizer(normalizer=replace({"Regex": "[a-z]"}, "a" * 100)),
        "more than 16 times longer",
    ),
    "an empty pattern": (tokenizer(normalizer=replace({"String": ""}, "a")), "not empty"),
    "a table that is none": (
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "!"}),
        "base64",
    ),
    "a table that is short": (tokenizer(normalizer=precompiled(b"\xff\xff\xff\x7f")), "an impossible size"),
    "a trie that leaves itself": (
        tokenizer(normalizer=precompiled(trie(0x1FF << 10 | 512))),
        "points out of itself",
    ),
    "a leaf behind the texts": (
        tokenizer(normalizer=precompiled(trie(1 << 31 | 99))),
        "points out of itself",
    ),
    "a leaf inside a character": (
        tokenizer(normalizer=precompiled(trie(1 << 31 | 1, "é\0".encode()))),
        "are not UTF-8",
    ),
    "a character that becomes a book": (
        tokenizer(normalizer=precompiled(trie(1 << 31, b"a" * 100_000 + b"\0"))),
        "replacement of more than 200",
    ),
    "normalizers in sequences of sequences": (
        tokenizer(
            normalizer=sequence(*[sequence(*[{"type": "Prepend", "prepend": "0123456789"}] * 32)] * 32)
        ),
        "normalizer has 1,024 steps, the maximum is 32",
    ),
    "bytes that double": (
        tokenizer(normalizer=sequence(*[{"type": "ByteLevel"}] * 32)),
        "at most one ByteLevel or Metaspace",
    ),
    "words that double": (
        tokenizer(
            pre_tokenizer={
                "type": "Sequence",
                "pretokenizers": [
                    part
                    for letter in "abcdefgh"
                    for part in (split("."), {"type": "Metaspace", "replacement": letter})
                ],
            }
        ),
        "at most one ByteLevel or Metaspace",
    ),
    "a piece as long as a book": (
        vocabulary(type="Unigram", unk_id=0, vocab=[["a", 0.0], ["a" * 10_000_000, -1.0]]),
        "model.vocab: has a piece of 10,000,000 characters",
    ),
    "a word as long as a book": (words_only(b"[UNK]\n" + b"a" * 10**7), "vocab.txt, line 2: a piece of"),
    "a text that is repeated": (tokenizer(post_processor=template(single=16)), "single: should hold A once"),
    "a text that is lost": (tokenizer(post_processor=template(single=0)), "single: should hold A once each"),
    "a pair that is lost": (tokenizer(post_processor=template(pair=0)), "pair: should hold A and B once"),
    "numbers beyond the embeddings around one text alone": (
        tokenizer(post_processor={**piece(10**6), "pair": template()["pair"]}),
        "returns ids for which the encoder has no embedding",
    ),
    "token types beyond the embeddings of one text alone": (
        tokenizer(post_processor=template(type_id=5)),
        "returns ids for which the encoder has no embedding",
    ),
    "two tables": (
        tokenizer(normalizer=sequence(*[precompiled(trie(1 << 31))] * 3)),
        "more than 16 times longer",
    ),
    "an unknown component": (
        tokenizer(pre_tokenizer={"type": "Python", "code": "x"}),
        "pre_tokenizer.type: should be",
    ),
    "a component of no length": (
        tokenizer(pre_tokenizer={"type": "FixedLength", "length": 0}),
        "length: should be a whole number from 1",
    ),
    "a component that names a file": (
        tokenizer(pre_tokenizer={"type": "Whitespace", "table": "/etc/passwd"}),
        "table: names a repository or a path",
    ),
    "a model of another kind": (
        tokenizer(model={"type": "Theirs", "vocab": {}}),
        "model.type: should be one of",
    ),
    "a model without pieces": (vocabulary(vocab={}), "vocab: should be an object of 1 to"),
    "numbers that are texts": (vocabulary(vocab={"a": "1"}), "should map each piece to a whole number"),
    "negative numbers": (vocabulary(vocab={"a": -1}), "should map each piece to a whole number"),
    "numbers beyond the embeddings": (other_numbers, "do not belong together"),
    "a vocabulary without the unknown piece": (
        vocabulary(unk_token="[MISSING]"),
        "unk_token: is not one of the pieces",
    ),
    "words of any length": (
        vocabulary(max_input_chars_per_word=10**9),
        "max_input_chars_per_word: should be",
    ),
    "chance": (
        tokenizer(model={"type": "BPE", "dropout": 0.5, "vocab": {"a": 0}, "merges": []}),
        "model.dropout: should be",
    ),
    "merges of nothing": (
        tokenizer(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}),
        "should hold pairs of pieces",
    ),
    "merges of pieces that are missing": (
        tokenizer(model={"type": "BPE", "vocab": {"a": 0}, "merges": [["b", "c"]]}),
        "cannot be loaded",
    ),
    "an unknown piece without a number": (
        tokenizer(model={"type": "Unigram", "unk_id": 7, "vocab": [["a", -1.0]]}),
        "unk_id: 7 is not the id",
    ),
    "scores that are texts": (
        tokenizer(model={"type": "Unigram", "vocab": [["a", "b"]]}),
        "should hold scores",
    ),
    "a special token beyond the embeddings": (tokenizer(post_processor=piece(10**6)), "has no embedding"),
    "a type beyond the embeddings": (
        tokenizer(post_processor=piece(0, SpecialToken={"id": "<s>", "type_id": 500})),
        "has no embedding",
    ),
    "a hundred thousand special tokens": (many_special, "has 100,000 items, at most 16 are read"),
    "a special token that is not there": (
        tokenizer(post_processor={**piece(0), "special_tokens": {}}),
        "cannot be loaded",
    ),
    "more added tokens than read": (added(20_001), "added_tokens: has 20,001 items"),
    "a number beyond all": (added(1, 10**12), "should be a whole number from 0"),
    "a zip bomb": (instead("tokenizer.json", content(gzip.compress(bytes(10**7)))), "not UTF-8"),
    "a tokenizer twice": (instead("tokenizer.json", content(b'{"model": {}, "model": {}}')), "occurs twice"),
    "a tokenizer without a model": (instead("tokenizer.json", content(b"{}")), "has no 'model'"),
    "millions of lines": (words_only(b"\n" * 4_000_001), "has more than 4,000,000 lines"),
    "words that are no text": (words_only(b"[PAD]\n\xff\xfe\n"), "vocab.txt, line 2: not UTF-8"),
    "a length of zero": (settings(model_max_length=0), "model_max_length: should be a number from 8"),
    "a length that is a text": (settings(model_max_length="512"), "model_max_length: should be a number"),
    "a token that is a list": (settings(pad_token=["<pad>"]), "pad_token: should be a text"),
    "a token with code": (
        settings(pad_token={"content": "<pad>", "__type": "theirs.Token"}),
        "pad_token: should be a text",
    ),
    "a special token with a path": (special(loader="theirs.py"), "loader: names code"),
    "tokens with numbers that are none": (
        settings(added_tokens_decoder={"x": {"content": "a"}}),
        "token ids",
    ),
    "an added token below zero": (
        lambda folder: hostile.change(folder / "added_tokens.json", x=-1),
        "should be a whole number from 0",
    ),
    "no padding token": (settings(pad_token=None, added_tokens_decoder={}), "padding token"),
}


@pytest.mark.parametrize("case", CASES)
def test_tokenizers_that_are_refused(folder: Path, case: str) -> None:
    edit, message = CASES[case]
    if case == "no padding token":
        (folder / "special_tokens_map.json").unlink()
    edit(folder)
    hostile.refuses(folder, message)


def test_padding_of_a_terabyte_is_not_used(folder: Path, tiny_backbone: Path) -> None:
    padding = {
        "strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1,
        "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    truncation = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
    tokenizer(padding=padding, truncation=truncation)(folder)
    batch, states = hostile.encoded(Host(backbone.BackboneFiles.locate(str(folder))))
    expected_batch, expected = hostile.encoded(Host(backbone.BackboneFiles.locate(str(tiny_backbone))))
    assert torch.equal(batch["input_ids"], expected_batch["input_ids"])
    assert torch.equal(states, expected)
    assert not Path(MARKER).exists()


def test_only_the_files_of_the_folder_are_read(folder: Path, tmp_path: Path) -> None:
    """The files below `tokenizer_file` and in the working folder have other words."""
    other = build_backbone(tmp_path / "other")
    vocabulary(max_input_chars_per_word=1)(other)
    (tmp_path / "tokenizer.json").write_bytes((other / "tokenizer.json").read_bytes())
    expected = hostile.encoded(Host(backbone.BackboneFiles.locate(str(folder))))[0]["input_ids"]
    for value in ("../other/tokenizer.json", str(other / "tokenizer.json"), "tokenizer.json"):
        settings(tokenizer_file=value)(folder)
        with pytest.raises(BackboneError, match="tokenizer_file: names a file"):
            backbone.BackboneFiles.locate(str(folder))
    settings(tokenizer_file=None)(folder)
    assert torch.equal(
        hostile.encoded(Host(backbone.BackboneFiles.locate(str(folder))))[0]["input_ids"], expected
    )


@pytest.mark.parametrize(
    "regex",
    [" {2,}", r"\s+", r"\p{N}", r" ?\p{L}+", r"[^\s\p{L}]+", "a|b+", "abc", r"\.", tokenizer_rules.GPT2],
)
def test_regular_expressions_of_ordinary_tokenizers(regex: str) -> None:
    assert tokenizer_rules._regex(regex, "x", Check()) == regex


@pytest.mark.parametrize(
    "regex",
    [
        "", "|", "[", "(a)", "a**", "a+b", ".*x", r"\s+$", "(?i)a", r"\1", r"\k<a>", r"a{1000}",
        "[[:alpha:]]",
        r"a\b", "a" * 501, "a?" * 2,
    ],
)  # fmt: skip
def test_regular_expressions_that_could_take_long(regex: str) -> None:
    with pytest.raises(PlaceError):
        tokenizer_rules._regex(regex, "x", Check())


BERT_5 = {
    "backend": "tokenizers", "is_local": False, "local_files_only": False,
    "model_specific_special_tokens": {}, "tokenizer_class": "TokenizersBackend",
    "extra_special_tokens": ["Anna"], "max_length": 128, "stride": 0,
    "truncation_side": "right", "truncation_strategy": "longest_first", "pad_to_multiple_of": None,
    "pad_token_type_id": 0, "padding_side": "right", "sp_model_kwargs": {}, "full_tokenizer_file": None,
}  # fmt: skip


def test_settings_as_transformers_5_writes_them(
    folder: Path, tiny_backbone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings(**BERT_5)(folder)
    hostile.config(language="english", name="Bert", xla_device=None, use_flash_attention_2=False)(folder)
    host = Host(backbone.BackboneFiles.locate(str(folder)))
    assert host.tokenizer.additional_special_tokens == ["Anna"]
    expected = hostile.encoded(Host(backbone.BackboneFiles.locate(str(tiny_backbone))))[0]["input_ids"]
    assert torch.equal(hostile.encoded(host)[0]["input_ids"], expected)
    assert not caplog.records


def test_what_is_made_of_a_slow_tokenizer_is_checked_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SentencePiece models hold a table of replacements, which would end the process if it were damaged."""
    words_only(b"<unk>\n<pad>\n<s>\n</s>\n<mask>\n")(folder)
    (folder / "special_tokens_map.json").unlink()
    monkeypatch.setattr(tokenizer_rules, "MAX_PARTS", 0)
    with pytest.raises(BackboneError, match="normalizer has 1 steps, the maximum is 0"):
        Host(backbone.BackboneFiles.locate(str(folder)))
