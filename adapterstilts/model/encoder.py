"""The encoder itself, with or without adapters: tokenizer, dropout, attention kernel, hidden layers."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast
from transformers.modeling_utils import no_init_weights

from adapterstilts.errors import BackboneError
from adapterstilts.kinds.base import Batch
from adapterstilts.model import tokenizer_files, tokenizer_rules, weights
from adapterstilts.model.backbone import WEIGHTS, BackboneFiles, check_unchanged, say_dropped

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PROBE = "Zwei kurze Texte, 2 short texts ... \u4e24\u6bb5\u77ed\u6587"
LONGEST_PROBE = 1_000  # subwords of two of these; a byte is one at the most


def load_tokenizer(files: BackboneFiles) -> PreTrainedTokenizerFast:
    """The backbone's fast tokenizer (offsets are needed, which slow ones do not give).

    It is loaded from a checked copy: transformers also acts on keys and files that have no check here. Its
    `model_max_length` is what the encoder has positions for, or less where its own settings say less.

    Raises:
        BackboneError: a file of it is refused, it cannot be loaded, there is no fast one, or it gives
            numbers for which the encoder has no embedding.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="adapterstilts-tokenizer-") as copy:
            dropped = tokenizer_files.write_checked(files.folder, Path(copy), files.config, files.trusted)
            say_dropped(files.name, tuple(dropped))
            tokenizer = AutoTokenizer.from_pretrained(
                copy, use_fast=True, local_files_only=True, trust_remote_code=False,
                fix_mistral_regex=False,  # about another family of tokenizers; without it a warning is shown
            )  # fmt: skip
            if not (Path(copy) / tokenizer_files.TOKENIZERS[0]).exists():
                _check_converted(tokenizer, files)
            _check_tokenizer(tokenizer, files)
    except BackboneError:
        raise
    except BaseException as error:
        # The library raises bare Exception for a malformed file; a panic in its Rust code is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        advice = _advice(files.folder)
        raise BackboneError(f"the tokenizer in {files.folder} cannot be loaded{advice}: {error}") from error
    tokenizer.name_or_path = str(files.folder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, files.positions)
    return tokenizer


def _advice(folder: Path) -> str:
    """What helps where the fast tokenizer cannot be made from the files of a slow one."""
    if (folder / tokenizer_files.TOKENIZERS[0]).exists():
        return ""
    return f" without {tokenizer_files.TOKENIZERS[0]}, which transformers writes for a fast tokenizer"


def _check_converted(tokenizer: Any, files: BackboneFiles) -> None:
    """Checks what transformers made from other files, such as a SentencePiece model's table."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        tokenizer_rules.check_tokenizer(json.loads(backend.to_str()), f"the tokenizer in {files.folder}")


def _check_tokenizer(tokenizer: Any, files: BackboneFiles) -> None:
    """Refuses a tokenizer that gives what the encoder cannot take; a short text is encoded to see."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.pad_token_id is None:
        raise BackboneError(f"{files.folder} needs a fast tokenizer (tokenizer.json) with a padding token")
    pieces = len(tokenizer) if files.trusted else max(tokenizer.get_vocab().values(), default=0) + 1
    if pieces > files.config["vocab_size"]:
        raise BackboneError(
            f"the tokenizer in {files.folder} has {pieces} pieces but the encoder only "
            f"{files.config['vocab_size']}: they do not belong together"
        )
    for texts in ((PROBE,), (PROBE, PROBE)):
        _check_probe(tokenizer(*texts, return_token_type_ids=True, verbose=False), files)


def _check_probe(encoded: Any, files: BackboneFiles) -> None:
    ids, types = encoded["input_ids"], encoded["token_type_ids"]
    known = files.config["vocab_size"], max(files.config["type_vocab_size"], 2)
    if max(ids, default=0) >= known[0] or max(types, default=0) >= known[1]:
        raise BackboneError(
            f"the tokenizer in {files.folder} gives numbers for which the encoder has no embedding: they do "
            "not belong together"
        )
    if len(ids) > LONGEST_PROBE:
        raise BackboneError(f"the tokenizer in {files.folder} makes {len(ids):,} subwords of a short text")


def config_of(files: BackboneFiles) -> Any:
    """The encoder's configuration as transformers takes it, from checked settings alone."""
    settings = {key: value for key, value in files.config.items() if key != "model_type"}
    return AutoConfig.for_model(files.model_type, **settings)


def load_encoder(files: BackboneFiles, loader: Any) -> Any:
    """The encoder in float32 with its pretrained weights, frozen, in evaluation mode.

    The model is built from the checked configuration and filled from the one weight file that is in the
    fingerprint: transformers opens no file itself.

    Args:
        loader: the auto class that makes a model with room for adapters.

    Raises:
        BackboneError: weights are missing from the file, or hold NaN or infinity; or the folder's files are
            no longer those of the fingerprint.
    """
    config = config_of(files)
    config.name_or_path = str(files.folder)
    with no_init_weights():
        model = loader.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    parameters = dict(model.base_model.named_parameters())
    if missing := parameters.keys() - files.tensors.keys() - weights.pooler_shapes(files.config).keys():
        raise BackboneError(f"{files.folder}/{WEIGHTS} lacks weights of the encoder, such as {min(missing)}")
    with torch.no_grad():
        for name, tensor in weights.load(files.folder / WEIGHTS, files.tensors):
            if tensor.shape != parameters[name].shape:  # the file is no longer the one that was checked
                raise BackboneError(f"{files.folder} changed while it was loaded: run the command again")
            parameters.pop(name).copy_(tensor)
        for rest in parameters.values():  # a pooler, which no head here reads
            rest.zero_()
    check_unchanged(files)
    return model.requires_grad_(False).eval()


def remove_dropout(model: Any) -> None:
    """Turns dropout off in all modules that are there now; those added later keep theirs.

    On a CPU dropout costs about three times a linear layer of the same width.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0  # attention calls its kernel with this


def set_attention(base: Any, eager: bool) -> None:
    """Chooses plain matrix products for attention, or torch's fused kernel (equal up to rounding).

    The fused kernel's backward pass is slow on a CPU, its forward pass is the faster one.
    """
    for layer in base.encoder.layer:
        module = layer.attention.self
        kind = type(module)
        name = kind.__name__.replace("Sdpa", "")
        if not eager:
            name = name.replace("SelfAttention", "SdpaSelfAttention")
        module.__class__ = getattr(sys.modules[kind.__module__], name)


def inputs(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """The model's inputs in a batch; token types only where the encoder tells them apart."""
    known = INPUTS if model.config.type_vocab_size > 1 else INPUTS[:2]
    return {name: batch[name] for name in known}


def hidden(model: Any, batch: Batch, layer: int) -> torch.Tensor:
    """Hidden states [N, L, H] after a layer; the layers above are not computed.

    Args:
        layer: 0 is the embeddings, n the n-th layer, -1 the last.

    Raises:
        BackboneError: there is no such layer.
    """
    base = model.base_model
    layers = base.encoder.layer
    depth = layer if layer >= 0 else len(layers) + 1 + layer
    if not 0 <= depth <= len(layers):
        raise BackboneError(f"the encoder has layers 0 to {len(layers)} (or -1, the last), not {layer}")
    try:
        base.encoder.layer = layers[:depth]
        states: torch.Tensor = base(**inputs(model, batch)).last_hidden_state
    finally:
        base.encoder.layer = layers
    return states


def every_layer(model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
    """Hidden states [N, L, H] after each layer, from the bottom, without the embeddings."""
    output = model.base_model(**inputs(model, batch), output_hidden_states=True)
    states: tuple[torch.Tensor, ...] = output.hidden_states[1:]
    return states


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draws new weights from `seed`, and leaves the generators as they were."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
