"""The encoder and its tokenizer: loading, dropout, attention kernel, hidden states."""

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
from adapterstilts.model.backbone import WEIGHTS, BackboneFiles

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PROBE = "Zwei kurze Texte, 2 short texts ... \u4e24\u6bb5\u77ed\u6587"
MAX_PROBE = 1_000  # subwords of two probes; with one subword per byte they have about 100


def load_tokenizer(files: BackboneFiles) -> PreTrainedTokenizerFast:
    """Loads the backbone's fast tokenizer.

    Its `model_max_length` is the number of the encoder's positions, or less if its own settings limit it.

    Raises:
        BackboneError: A file is refused or cannot be loaded, there is no fast tokenizer, or it returns ids
            for which the encoder has no embedding.
    """
    try:
        # A checked copy in an empty folder: transformers also acts on keys and files that are not checked.
        with tempfile.TemporaryDirectory(prefix="adapterstilts-tokenizer-") as copy:
            dropped = tokenizer_files.write_checked(files.folder, Path(copy), files.config, files.trusted)
            files.warn_unknown_keys(dropped)
            tokenizer = AutoTokenizer.from_pretrained(
                copy, use_fast=True, local_files_only=True, trust_remote_code=False,
                fix_mistral_regex=False,  # concerns other tokenizers; without it transformers warns
            )  # fmt: skip
            # Converted from other files, such as a SentencePiece model: only the result can be checked.
            backend = getattr(tokenizer, "backend_tokenizer", None)
            if backend is not None and not (Path(copy) / tokenizer_files.TOKENIZERS[0]).exists():
                data = json.loads(backend.to_str())
                tokenizer_rules.check_tokenizer(data, f"the tokenizer in {files.folder}")
            _check_tokenizer(tokenizer, files)
    except BackboneError:
        raise
    except BaseException as error:
        # The library raises bare Exception for a malformed file; a panic in its Rust code is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        converted = not (files.folder / tokenizer_files.TOKENIZERS[0]).exists()
        missing = f" without {tokenizer_files.TOKENIZERS[0]}, the file of a fast tokenizer" * converted
        raise BackboneError(f"the tokenizer in {files.folder} cannot be loaded{missing}: {error}") from error
    tokenizer.name_or_path = str(files.folder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, files.positions)
    return tokenizer


def _check_tokenizer(tokenizer: Any, files: BackboneFiles) -> None:
    """Refuses a tokenizer that does not fit the encoder; a short text is encoded to find out."""
    # Only fast tokenizers return the offsets of subwords, which several kinds of task need.
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.pad_token_id is None:
        raise BackboneError(f"{files.folder} requires a fast tokenizer (tokenizer.json) with a padding token")
    pieces = len(tokenizer) if files.trusted else max(tokenizer.get_vocab().values(), default=0) + 1
    if pieces > files.config["vocab_size"]:
        raise BackboneError(
            f"the tokenizer in {files.folder} has {pieces} pieces but the encoder only "
            f"{files.config['vocab_size']}: they do not belong together"
        )
    # Encoders with one token type get none, whatever the tokenizer returns.
    max_types = max(files.config["type_vocab_size"], 2)
    for texts in ((PROBE,), (PROBE, PROBE)):
        encoded = tokenizer(*texts, return_token_type_ids=True, verbose=False)
        ids, types = encoded["input_ids"], encoded["token_type_ids"]
        # An id without an embedding would end the process on a GPU.
        if max(ids, default=0) >= files.config["vocab_size"] or max(types, default=0) >= max_types:
            raise BackboneError(
                f"the tokenizer in {files.folder} returns ids for which the encoder has no embedding: they "
                "do not belong together"
            )
        if len(ids) > MAX_PROBE:
            raise BackboneError(
                f"the tokenizer in {files.folder} splits a short text into {len(ids):,} subwords"
            )


def transformers_config(files: BackboneFiles) -> Any:
    """Returns the encoder's configuration for transformers, from checked settings alone."""
    settings = {key: value for key, value in files.config.items() if key != "model_type"}
    return AutoConfig.for_model(files.model_type, **settings)


def load_encoder(files: BackboneFiles, auto_class: Any, *, dropout: bool = True) -> Any:
    """Loads the encoder in float32, frozen, in evaluation mode.

    Args:
        auto_class: Auto class of transformers, or of `adapters` for a model that can have adapters.
        dropout: Whether dropout inside the encoder stays active in training.

    Raises:
        BackboneError: Weights are missing from the file, or hold NaN or infinity; or the folder's files
            changed since they were checked.
    """
    # Built from the checked configuration and filled from the one weight file that is in the fingerprint:
    # transformers opens no file itself.
    config = transformers_config(files)
    config.name_or_path = str(files.folder)
    with no_init_weights():
        model = auto_class.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    parameters = dict(model.base_model.named_parameters())
    if missing := parameters.keys() - files.tensors.keys() - set(weights.POOLER):
        raise BackboneError(f"{files.folder}/{WEIGHTS} lacks weights of the encoder, such as {min(missing)}")
    with torch.no_grad():
        for name, tensor in weights.load(files.folder / WEIGHTS, files.tensors):
            if tensor.shape != parameters[name].shape:  # another file than the one that was checked
                raise BackboneError(f"{files.folder} changed while it was loaded: run the command again")
            parameters.pop(name).copy_(tensor)
        # What is left is a pooler, which no head here reads; it must not hold uninitialised memory.
        for parameter in parameters.values():
            parameter.zero_()
    files.check_unchanged()
    # In the encoder only: adapters and heads are added later and keep theirs. On a CPU dropout costs about
    # three times a linear layer of the same width.
    for module in () if dropout else model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0  # attention passes this to its kernel
    return model.requires_grad_(False).eval()


def set_attention(base: Any, eager: bool) -> None:
    """Selects plain matrix products for attention, or torch's fused kernel; they are equal up to rounding."""
    # On a CPU the fused kernel is faster forward, but slower backward. The attention modules of a model that
    # is loaded can only be exchanged by their classes, which hold the same parameters.
    for layer in base.encoder.layer:
        module = layer.attention.self
        kind = type(module)
        name = kind.__name__.replace("Sdpa", "")
        if not eager:
            name = name.replace("SelfAttention", "SdpaSelfAttention")
        module.__class__ = getattr(sys.modules[kind.__module__], name)


def inputs(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """Returns the model's inputs in a batch; token types only if the encoder distinguishes them."""
    names = INPUTS if model.config.type_vocab_size > 1 else INPUTS[:2]
    return {name: batch[name] for name in names}


def hidden_states(model: Any, batch: Batch, layer: int) -> torch.Tensor:
    """Returns the hidden states [N, L, H] after a layer; higher layers do not run.

    Args:
        layer: Number of the layer. 0 is the embeddings, n the n-th layer, -1 the last.

    Raises:
        BackboneError: The layer does not exist.
    """
    base = model.base_model
    layers = base.encoder.layer
    depth = layer if layer >= 0 else len(layers) + 1 + layer
    if not 0 <= depth <= len(layers):
        raise BackboneError(f"the encoder has layers 0 to {len(layers)} (or -1, the last), not {layer}")
    try:
        # The layers are cut off, not only ignored: half the depth takes half the time.
        base.encoder.layer = layers[:depth]
        states: torch.Tensor = base(**inputs(model, batch)).last_hidden_state
    finally:
        base.encoder.layer = layers
    return states


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch's generators inside the block and restores their states afterwards."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
