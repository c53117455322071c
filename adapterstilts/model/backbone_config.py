"""A backbone's `config.json`: the keys that describe an encoder, each within bounds; others are dropped.

The model is built from the checked settings. Transformers never reads the file, so no key of it can load a
kernel, a module or a repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapterstilts.errors import BackboneError
from adapterstilts.known_keys import (  # fmt: skip
    ABSENT,
    SHORT,
    Accept,
    Check,
    PlaceError,
    Rule,
    Rules,
    keep_known,
)
from adapterstilts.terminal_text import shown

MODEL_TYPES = ("bert", "xlm-roberta", "roberta")
# Values of `tokenizer_class`; each also with the suffix "Fast".
TOKENIZER_CLASSES = (
    "PreTrainedTokenizer", "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MPNetTokenizer",
    "HerbertTokenizer", "RobertaTokenizer", "GPT2Tokenizer", "BartTokenizer", "XLMRobertaTokenizer",
    "CamembertTokenizer", "AlbertTokenizer",
)  # fmt: skip
ACTIVATIONS = (
    "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu",
    "swish", "tanh", "mish",
)  # fmt: skip
MIN_POSITIONS = 8  # two texts with their special tokens
MAX_LABELS = 100_000
MAX_VOCABULARY = 4_000_000
NO_DECODER = "is for decoders; only encoders are supported"


def _bounded(rule: Rule) -> Rule:
    """Returns the rule for a known key that is not used, but whose value must be plausible."""

    def check(value: Any, place: str, check: Check) -> Any:
        rule(value, place, check)
        return ABSENT

    return check


def _labels(value: Any, place: str, check: Check) -> Any:
    if value is not None and (not isinstance(value, dict) or len(value) > MAX_LABELS):
        raise PlaceError(place, f"should be an object of at most {MAX_LABELS:,} labels")
    return ABSENT


def _no_adapters(value: Any, place: str, check: Check) -> Any:
    if value and not (isinstance(value, dict) and not value.get("adapters", value)):
        raise PlaceError(place, "means that the backbone contains adapters: save the bare encoder instead")
    return ABSENT


def _attention(value: Any, place: str, check: Check) -> Any:
    if value not in (None, "eager", "sdpa"):
        raise PlaceError(
            place,
            f"should be 'eager' or 'sdpa', not {SHORT.repr(value)}: other kernels are code, which is never "
            "loaded. Remove this key",
        )
    return ABSENT


_KNOWN_CLASS = Accept.choice(None, *TOKENIZER_CLASSES, *(f"{name}Fast" for name in TOKENIZER_CLASSES))


def tokenizer_class(value: Any, place: str, check: Check) -> Any:
    """Checks the name of a tokenizer's class."""
    # Transformers 5 has a new name for the generic class.
    return "PreTrainedTokenizerFast" if value == "TokenizersBackend" else _KNOWN_CLASS(value, place, check)


PROBABILITY = Accept.number(0, 0.99)
TOKEN_ID = Accept.nullable(Accept.whole(0, MAX_VOCABULARY))

SIZES: Rules = {
    "vocab_size": Accept.whole(1, MAX_VOCABULARY),
    "hidden_size": Accept.whole(1, 65_536),
    "num_hidden_layers": Accept.whole(1, 512),
    "num_attention_heads": Accept.whole(1, 4_096),
    "intermediate_size": Accept.whole(1, 1_048_576),
    "max_position_embeddings": Accept.whole(MIN_POSITIONS, 1_048_576),
    "type_vocab_size": Accept.whole(1, 1_024),
}
USED: Rules = {
    **SIZES,
    "model_type": Accept.choice(*MODEL_TYPES),
    "hidden_act": Accept.choice(*ACTIVATIONS),
    "hidden_dropout_prob": PROBABILITY,
    "attention_probs_dropout_prob": PROBABILITY,
    "classifier_dropout": Accept.nullable(PROBABILITY),
    "initializer_range": Accept.number(0, 1),
    "layer_norm_eps": Accept.number(1e-30, 0.1),
    "position_embedding_type": Accept.choice("absolute", "relative_key", "relative_key_query"),
    "pad_token_id": TOKEN_ID,
    "bos_token_id": TOKEN_ID,
    "eos_token_id": TOKEN_ID,
    "tie_word_embeddings": Accept.flag,
    "tokenizer_class": tokenizer_class,
}
REFUSED: Rules = {
    "auto_map": Accept.refused("names custom code, which is never run: use a backbone without it"),
    "custom_pipelines": Accept.refused("names code, which is never run: remove this key"),
    "quantization_config": Accept.refused(
        "requires quantised weights; only float32, float16 and bfloat16 are supported"
    ),
    "compression_config": Accept.refused(
        "requires compressed weights; only float32, float16 and bfloat16 are supported"
    ),
    "transformers_weights": Accept.refused("names another weight file; only model.safetensors is loaded"),
    "pruned_heads": Accept.refused("requires pruned heads, which are not supported"),
    "is_decoder": Accept.refused(NO_DECODER),
    "is_encoder_decoder": Accept.refused(NO_DECODER),
    "add_cross_attention": Accept.refused(NO_DECODER),
    "cross_attention_hidden_size": Accept.refused(NO_DECODER),
    "tie_encoder_decoder": Accept.refused(NO_DECODER),
    "adapters": _no_adapters,
    "custom_heads": _no_adapters,
    "prediction_heads": _no_adapters,
    "_attn_implementation": _attention,
    "_attn_implementation_internal": _attention,
    "attn_implementation": _attention,
}
# Keys of ordinary checkpoints that are not used.
UNUSED: Rules = {
    "num_labels": _bounded(Accept.nullable(Accept.whole(0, MAX_LABELS))),
    "_num_labels": _bounded(Accept.nullable(Accept.whole(0, MAX_LABELS))),
    "id2label": _labels,
    "label2id": _labels,
    "architectures": _bounded(Accept.nullable(Accept.items(Accept.text(200), 16))),
    "chunk_size_feed_forward": _bounded(Accept.nullable(Accept.whole(0, 1_048_576))),
    **dict.fromkeys(
        (
            "_attn_implementation_autoset _commit_hash _flash_attn_2_enabled _name_or_path bad_words_ids "
            "begin_suppress_tokens decoder_start_token_id directionality diversity_penalty do_sample dtype "
            "early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty finetuning_task "
            "forced_bos_token_id forced_eos_token_id gradient_checkpointing language length_penalty "
            "max_length min_length name name_or_path no_repeat_ngram_size num_beam_groups num_beams "
            "num_return_sequences output_attentions output_hidden_states output_past output_scores "
            "pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
            "pooler_type prefix problem_type remove_invalid_values "
            "repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens "
            "task_specific_params temperature tf_legacy_loss top_k top_p torch_dtype torchscript "
            "transformers_version typical_p use_bfloat16 use_cache use_flash_attention_2 xla_device"
        ).split(),
        Accept.ignored,
    ),
}
RULES: Rules = {**USED, **REFUSED, **UNUSED}

# Defaults of transformers: files of checkpoints omit keys at their default.
DEFAULTS: dict[str, Any] = {
    "vocab_size": 30_522, "num_attention_heads": 12, "intermediate_size": 3_072,
    "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "classifier_dropout": None, "initializer_range": 0.02,
    "layer_norm_eps": 1e-12, "position_embedding_type": "absolute", "tie_word_embeddings": True,
    "tokenizer_class": None,
}  # fmt: skip
TYPE_DEFAULTS: dict[str, dict[str, Any]] = {
    "bert": {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None},
    "xlm-roberta": {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "roberta": {"vocab_size": 50_265, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
}


def check_config(data: Mapping[str, Any], path: object, name: str) -> tuple[dict[str, Any], list[str]]:
    """Checks a `config.json`.

    Args:
        data: Content of the file.
        path: Path of the file, for messages.
        name: Name of the backbone, for messages.

    Returns:
        All settings of the encoder, with the default of transformers for keys that the file omits; and the
        unknown keys, which were dropped.

    Raises:
        BackboneError: The model type is not supported, a value is out of bounds, sizes do not fit together,
            or a key names code, a module, a file, a repository, a path or a URL.
    """
    model_type = data.get("model_type")
    if model_type not in MODEL_TYPES:
        raise BackboneError(
            f"backbone '{name}' is of type {shown(model_type)!r}: only encoders of type "
            f"{', '.join(MODEL_TYPES)} are supported"
        )
    settings, dropped = keep_known(data, RULES, path, BackboneError)
    for key in ("hidden_size", "num_hidden_layers"):
        if key not in settings:
            raise BackboneError(f"{path} has no {key}")
    config = {**DEFAULTS, **TYPE_DEFAULTS[model_type], **settings}
    if config["hidden_size"] % config["num_attention_heads"]:
        raise BackboneError(
            f"{path}: hidden_size {config['hidden_size']} is not a multiple of num_attention_heads "
            f"{config['num_attention_heads']}"
        )
    _check_ids(config, path)
    return config, dropped


def _check_ids(config: Mapping[str, Any], path: object) -> None:
    padding = config["pad_token_id"]
    if padding is not None and padding >= config["vocab_size"]:
        raise BackboneError(f"{path}: pad_token_id {padding} is not below vocab_size {config['vocab_size']}")
    # RoBERTa counts positions from the id after its padding token's.
    if config["model_type"] != "bert":
        if padding is None:
            raise BackboneError(f"{path}: pad_token_id should be a number: positions are counted from it")
        if config["max_position_embeddings"] - padding - 1 < MIN_POSITIONS:
            raise BackboneError(
                f"{path}: max_position_embeddings {config['max_position_embeddings']} leaves fewer than "
                f"{MIN_POSITIONS} positions above pad_token_id {padding}"
            )
