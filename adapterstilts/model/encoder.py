"""The encoder itself, with or without adapters: tokenizer, dropout, attention kernel, hidden layers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from adapterstilts.errors import BackboneError
from adapterstilts.kinds.base import Batch
from adapterstilts.model.backbone import BackboneFiles

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def load_tokenizer(files: BackboneFiles) -> PreTrainedTokenizerFast:
    """The backbone's fast tokenizer (offsets are needed, which slow ones do not give).

    Raises:
        BackboneError: it cannot be loaded, or there is no fast one.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(files.folder), use_fast=True, local_files_only=True, trust_remote_code=False,
            fix_mistral_regex=False,  # about another family of tokenizers; without it a warning is shown
        )  # fmt: skip
    except Exception as error:  # tokenizers raises bare Exception for a malformed file
        raise BackboneError(f"the tokenizer in {files.folder} cannot be loaded: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.pad_token_id is None:
        raise BackboneError(f"{files.folder} needs a fast tokenizer (tokenizer.json) with a padding token")
    return tokenizer


def load_encoder(files: BackboneFiles, loader: Any, pieces: int) -> Any:
    """The encoder in float32 with its pretrained weights, frozen, in evaluation mode.

    Args:
        loader: the auto class that makes a model with room for adapters.
        pieces: of the tokenizer; there must be an embedding for each.

    Raises:
        BackboneError: weights of the encoder are missing from the file (transformers would draw them at
            random and only warn), or there are fewer embeddings than pieces.
    """
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it warns of the pooler, which no head here reads
    try:
        model, info = loader.from_pretrained(
            str(files.folder), local_files_only=True, use_safetensors=True, trust_remote_code=False,
            dtype=torch.float32, attn_implementation="sdpa", output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise BackboneError(f"the encoder in {files.folder} cannot be loaded: {error}") from error
    finally:
        transformers.logging.set_verbosity(before)
    missing = [key for key in info["missing_keys"] if "pooler." not in key and not key.startswith("heads.")]
    if missing or info["mismatched_keys"]:
        named = (missing or [str(key[0]) for key in info["mismatched_keys"]])[0]
        raise BackboneError(f"{files.folder}/model.safetensors lacks weights of the encoder, such as {named}")
    if pieces > model.config.vocab_size:
        raise BackboneError(
            f"the tokenizer in {files.folder} has {pieces} pieces but the encoder only "
            f"{model.config.vocab_size}: they do not belong together"
        )
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
