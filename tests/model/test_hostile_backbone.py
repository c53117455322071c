"""Backbones that do what none should: code, pickles, paths, impossible sizes and damaged weights.

Each case does the thing: it would make a marker file, load other weights, hang or take all memory if it were
let in. It is refused with a clear message, or loads as if the hostile part were not there.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from adapterstilts.model import backbone
from adapterstilts.model.host import Host
from tests.model import hostile
from tests.model.hostile import (
    CODE,
    MARKER,
    QUERY,
    WEIGHTS,
    Explosive,
    config,
    content,
    instead,
    special,
    weights,
)
from tests.model.hostile import settings as tokenizer_settings

Edit = Callable[[Path], object]
MAP = {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model", "AutoTokenizer": "theirs.Tokenizer"}


@pytest.fixture
def folder(hostile_folder: Path) -> Path:
    return hostile_folder


def outside(name: str) -> Edit:
    """Moves a file out of the folder and leaves a link to it."""

    def edit(folder: Path) -> None:
        shutil.move(folder / name, folder.parent / f"elsewhere-{name}")
        (folder / name).symlink_to(f"../elsewhere-{name}")

    return edit


def sparse(size: int) -> Callable[[Path], object]:
    """A file of any size that takes no room."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def pickled() -> bytes:
    return pickle.dumps(Explosive())


def zipped() -> bytes:
    file = io.BytesIO()
    torch.save(Explosive(), file)
    return file.getvalue()


def another_model(folder: Path) -> None:
    """What makes transformers load other weights under this backbone's fingerprint."""
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    weights(lambda tensors: tensors[QUERY].mul_(2))(other)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(other)}), "utf-8")
    (folder / "pytorch_adapter.bin").write_bytes(pickled())


def only_shards(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
    names = dict.fromkeys(load_file(folder / "model-00001-of-00001.safetensors"), "../../other.bin")
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": names}), "utf-8")


NAMES_CODE: dict[str, tuple[Edit, str]] = {
    "a code map": (config(auto_map=MAP), r"config\.json: auto_map: names custom code, which is never"),
    "a code map of the tokenizer": (
        tokenizer_settings(auto_map={"AutoTokenizer": ["theirs.Tokenizer", None]}),
        r"tokenizer_config\.json: auto_map: names custom code",
    ),
    "a code map in another repository": (
        config(auto_map={"AutoModel": "someone/repo--theirs.Model"}), "auto_map: names custom code",
    ),
    "a code map below another key": (
        config(encoder={"layers": [{"auto_map": MAP}]}), r"config\.json: encoder: names code",
    ),
    "a kernel, internal": (
        config(_attn_implementation_internal="someone/kernel"),
        "_attn_implementation_internal: should be 'eager' or 'sdpa', not 'someone/kernel'",
    ),
    "a kernel": (config(_attn_implementation="someone/kernel"), "_attn_implementation: should be 'eager'"),
    "a kernel of a revision": (
        config(attn_implementation="someone/kernel@v1:forward"), "attn_implementation: should be 'eager'",
    ),
    "kernels for several parts": (
        config(_attn_implementation={"": "someone/kernel"}), "_attn_implementation: should be 'eager'",
    ),
    "another attention": (config(_attn_implementation="flash_attention_3"), "not 'flash_attention_3'"),
    "kernels of experts": (config(_experts_implementation="someone/kernel"), "names code"),
    "an attention class": (config(attention="theirs.Attention"), "attention: names a module"),
    "an activation class": (config(hidden_act="theirs.activation"), "hidden_act: should be one of"),
    "trust in code": (config(trust_remote_code=True), "trust_remote_code: names code"),
    "trust in code, below": (
        config(detector={"_name_or_path": "someone/repo", "trust_remote_code": True}), "detector: names",
    ),
    "pipelines": (config(custom_pipelines={"x": {"impl": "theirs.Pipe"}}), "custom_pipelines: names code"),
    "a quantizer": (config(quantization_config={"quant_method": "bitsandbytes"}), "quantised weights"),
    "another weight file": (config(transformers_weights="other.safetensors"), "names another weight file"),
    "adapters inside": (
        config(adapters={"adapters": {"a": "x"}, "config_map": {}}), "the backbone contains adapters",
    ),
    "a key that writes on the terminal": (
        config(**{"\x1b[31mauto\nmap": {"a": "b/c"}}),
        r"config.json: .x1b.31mauto.nmap: names a repository",
    ),
    "an unknown path": (config(vision_tower="/etc/passwd"), "vision_tower: names a repository or a path"),
    "an unknown address": (config(home="https://example.org/x"), "home: names a URL"),
    "a program": (config(note="__import__('os').system('id')"), "note: names code"),
    "another class of tokenizer": (
        tokenizer_settings(tokenizer_class="LlamaTokenizer"), "tokenizer_class: should be one of",
    ),
    "a class of tokenizer in the configuration": (
        config(tokenizer_class="theirs.Tokenizer"), "tokenizer_class: should be one of",
    ),
    "arguments of the tokenizer": (tokenizer_settings(init_inputs=["../x"]), "init_inputs: should be empty"),
    "arguments of sentencepiece": (
        tokenizer_settings(sp_model_kwargs={"model_file": "../x"}), "sp_model_kwargs: should be empty",
    ),
    "tokens with the names of methods": (
        tokenizer_settings(extra_special_tokens={"encode": "<s>"}), "extra_special_tokens: should be empty",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES_CODE)
def test_keys_that_name_code(folder: Path, case: str) -> None:
    edit, message = NAMES_CODE[case]
    edit(folder)
    hostile.refuses(folder, message)


FILES: dict[str, tuple[Edit, str]] = {
    "a pickle alone": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin").write_bytes(zipped()),
        r"pytorch_model\.bin, a pickle, and weights",
    ),
    "a pickle under another name": (instead(WEIGHTS, content(pickled())), "not a safetensors file"),
    "a zipped pickle under another name": (instead(WEIGHTS, content(zipped())), "not a safetensors file"),
    "another model's weights": (another_model, r"holds adapter_config\.json"),
    "an adapter's pickle": (
        lambda folder: (folder / "pytorch_adapter.bin").write_bytes(pickled()), r"holds pytorch_adapter\.bin",
    ),
    "shards elsewhere": (only_shards, "weights in several files are never loaded"),
    "weights elsewhere": (outside(WEIGHTS), "model.safetensors is a link to a file outside its folder"),
    "a configuration elsewhere": (outside("config.json"), "is a link to a file outside"),
    "a vocabulary elsewhere": (
        lambda folder: (folder / "vocab.txt").symlink_to("/etc/hostname"), "vocab.txt is a link to a file",
    ),
    "a link in a circle": (
        instead("tokenizer_config.json", lambda path: path.symlink_to(path.name)), "cannot be read",
    ),
    "a link to a device": (
        instead("tokenizer.json", lambda path: path.symlink_to("/dev/zero")), "is a link to a file outside",
    ),
    "a pipe": (instead("tokenizer.json", os.mkfifo), "tokenizer.json is not an ordinary file"),
    "a pipe for a configuration": (instead("config.json", os.mkfifo), "config.json is not an ordinary file"),
    "a folder": (instead(WEIGHTS, os.mkdir), "model.safetensors is not an ordinary file"),
    "a tokenizer elsewhere": (
        tokenizer_settings(tokenizer_file="../other/tokenizer.json"), "tokenizer_file: names a file",
    ),
    "a tokenizer elsewhere, by its special tokens": (
        special(tokenizer_file="../other/tokenizer.json"), "tokenizer_file: names a",
    ),
    "another format of tokenizer": (tokenizer_settings(gguf_file="x.gguf"), "gguf_file: names a file"),
    "a gigabyte of spaces": (instead("config.json", sparse(2**30)), "is too large: 1,073,741,824 bytes"),
    "a terabyte of vocabulary": (instead("tokenizer.json", sparse(2**40)), "tokenizer.json is too large"),
    "a configuration that is none": (instead("config.json", content(b"\x1f\x8b\x08" * 9)), "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_something_else(folder: Path, case: str) -> None:
    edit, message = FILES[case]
    edit(folder)
    hostile.refuses(folder, message)


def custom_generation(folder: Path) -> None:
    hostile.change(folder / "generation_config.json", custom_generate="someone/repo", trust_remote_code=True)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(CODE, "utf-8")


TEMPLATE = "{{ cycler.__init__.__globals__.os.system('touch " + MARKER + "') }}"
HARMLESS: dict[str, Edit] = {
    "a pickle beside the weights": lambda folder: (folder / "pytorch_model.bin").write_bytes(zipped()),
    "a trainer's state": lambda folder: (folder / "rng_state.pth").write_bytes(zipped()),
    "an index of shards beside the weights": lambda folder: hostile.change(
        folder / f"{WEIGHTS}.index.json", weight_map={QUERY: "pytorch_model.bin"}
    ),
    "a chat template": tokenizer_settings(chat_template=TEMPLATE),
    "a chat template's file": lambda folder: (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8"),
    "generation with code": custom_generation,
    "a name of another model": config(_name_or_path="someone/other", architectures=["BertForMaskedLM"]),
    "an unknown number": config(temperature_of_the_room=21.5),
    "attention as it is": config(_attn_implementation="eager", _attn_implementation_internal="sdpa"),
    "labels of a head": config(id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1}, num_labels=2),
    "a file of special tokens": tokenizer_settings(special_tokens_map_file="/root/x", name_or_path="/root/y"),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_nothing_reads_changes_nothing(folder: Path, tiny_backbone: Path, case: str) -> None:
    HARMLESS[case](folder)
    batch, states = hostile.encoded(Host(backbone.BackboneFiles.locate(str(folder))))
    expected_batch, expected = hostile.encoded(Host(backbone.BackboneFiles.locate(str(tiny_backbone))))
    assert torch.equal(batch["input_ids"], expected_batch["input_ids"])
    assert torch.equal(states, expected)
    assert not Path(MARKER).exists()


def test_unknown_keys_are_named_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    config(temperature_of_the_room=21.5)(folder)
    tokenizer_settings(chat_template="x")(folder)
    hostile.tokenizer(pre_tokenizer={"type": "Whitespace", "colour": "red"})(folder)
    for _ in range(2):
        Host(backbone.BackboneFiles.locate(str(folder)))
    first, second = caplog.records
    assert "config.json: temperature_of_the_room, tokenizer_config.json: chat_template" in first.getMessage()
    assert "tokenizer.json: pre_tokenizer.colour" in second.getMessage()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads: should be a whole number from 1"),
        ({"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ({"num_hidden_layers": -1}, "num_hidden_layers: should be a whole number from 1 to 512, not -1"),
        ({"num_hidden_layers": 100_000}, "num_hidden_layers: should be a whole number"),
        ({"num_hidden_layers": 3}, r"lacks weights of the encoder, such as encoder\.layer\.2"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers: should be a whole number from 1 to 512, not '2'"),
        ({"num_hidden_layers": 2.0}, "num_hidden_layers: should be a whole number"),
        ({"num_hidden_layers": True}, "num_hidden_layers: should be a whole number"),
        ({"num_hidden_layers": None}, "num_hidden_layers: should be a whole number"),
        ({"num_hidden_layers": [2]}, "num_hidden_layers: should be a whole number"),
        ({"hidden_size": 10**12}, "hidden_size: should be a whole number"),
        ({"hidden_size": 64}, r"word_embeddings.weight has the shape \[\d+, 32\], but config.json requires"),
        ({"intermediate_size": 1_000_000}, "intermediate.dense.weight has the shape"),
        ({"vocab_size": 10**6}, r"but config.json requires \[1000000, 32\]"),
        ({"max_position_embeddings": 10**6}, "position_embeddings.weight has the shape"),
        ({"max_position_embeddings": 2}, "max_position_embeddings: should be a whole number from 8"),
        ({"type_vocab_size": 0}, "type_vocab_size: should be a whole number"),
        ({"hidden_dropout_prob": "0.1"}, "hidden_dropout_prob: should be a number from 0 to 0.99, not '0.1'"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob: should be a number"),
        ({"attention_probs_dropout_prob": float("nan")}, "NaN is not a JSON number"),
        ({"layer_norm_eps": 0}, "layer_norm_eps: should be a number"),
        ({"initializer_range": float("inf")}, "Infinity is not a JSON number"),
        ({"pad_token_id": 10**9}, "pad_token_id: should be a whole number"),
        ({"pad_token_id": 5_000}, "pad_token_id 5000 is not below vocab_size"),
        ({"is_decoder": True}, "is_decoder: is for decoders"),
        ({"add_cross_attention": True}, "add_cross_attention: is for decoders"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads: requires pruned heads"),
        ({"num_labels": 10**10}, "num_labels: should be a whole number"),
        ({"position_embedding_type": "rotary"}, "position_embedding_type: should be one of"),
        ({"position_embedding_type": "relative_key"}, "lacks weights of the encoder, .*distance_embedding"),
        ({"model_type": "t5"}, "of type 't5': only encoders"),
        ({"model_type": {"a": [1] * 1000}}, "only encoders of type"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: should be true or false"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be(folder: Path, values: dict[str, object], message: str) -> None:
    config(**values)(folder)
    hostile.refuses(folder, message)


def test_labels_without_end(folder: Path) -> None:
    config(id2label={str(n): "x" for n in range(100_001)})(folder)
    hostile.refuses(folder, "id2label: should be an object of at most 100,000 labels")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "bert", "model_type": "roberta"}', "the key 'model_type' occurs twice"),
        ('{"a":' * 100_000, "nested more than 16 deep"),
        ('{"a": ' + "9" * 5_000 + "}", "a number of 5,000 digits"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"a": 1e999}', "is not finite"),
        ('{"a": [' + "1," * 600_000 + "1]}", "more than 500,000 values"),
        ("[]", "does not hold a JSON object"),
        ("", "line 1: damaged"),
        ("{}", "of type 'None'"),
    ],
)  # fmt: skip
def test_configurations_that_are_no_json(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text, "utf-8")
    hostile.refuses(folder, message)
