"""A LoRA adapter that PEFT saved, as one of ours: converted exactly, or refused with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from adapterstilts.bounded_json import read_object
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.hub.lora_tensors import (
    ATTENTION,
    HEADS,
    INTERMEDIATE,
    LAYER,
    OUTPUT,
    Form,
    HeadKind,
    base_of,
    check_named,
    class_name,
    form_of,
    linear_layers,
    neutral_name,
    pooler_of,
)
from adapterstilts.hub.peft_export import ADAPTER, CONFIG
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.known_keys import (
    Rules,
    either,
    flag,
    ignored,
    items,
    keep_known,
    nullable,
    number,
    record,
    text,
    whole,
)
from adapterstilts.model import tensors
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec, Lora, fill
from adapterstilts.model.tensors import Tensors

REACHED = (*ATTENTION.values(), INTERMEDIATE, OUTPUT)
KEY = re.compile(r"base_model\.model\.(?:(bert|roberta)\.)?(.+)")
FACTOR = re.compile(r"(.+)\.lora_([AB])\.weight")
HEAD_KEY = re.compile(r"(pooler\.dense|classifier|classifier\.(?:dense|out_proj)|qa_outputs)\.(weight|bias)")
HEAD_MODULES = ("pooler", "classifier", "score", "qa_outputs")
TASKS: Mapping[str, HeadKind] = {"SEQ_CLS": "classification", "TOKEN_CLS": "tagging", "QUESTION_ANS": "span"}
# What the outputs of a loaded adapter do not depend on; and what is read here, key by key.
WITHOUT_MEANING = {
    "peft_version", "base_model_name_or_path", "revision", "inference_mode", "megatron_core",
    "qalora_group_size", "merge_weights", "runtime_config",
}  # fmt: skip
NAMES = either(text(4000), items(text(200), 2000))
READ: Rules = {
    "peft_type": text(40),
    "task_type": nullable(text(40)),
    "auto_mapping": nullable(record({"base_model_class": text(200), "parent_library": ignored})),
    "r": whole(1, 2**31),
    "lora_alpha": number(0, 1e6),
    "lora_dropout": number(0, 1),
    "use_rslora": nullable(flag),
    "bias": text(40),
    **dict.fromkeys(
        ("target_modules", "exclude_modules", "layers_pattern", "modules_to_save"), nullable(NAMES)
    ),
    "layers_to_transform": nullable(either(whole(0, 10_000), items(whole(0, 10_000), 1000))),
    "init_lora_weights": nullable(either(flag, text(40))),
}
UNUSED: tuple[object, ...] = (None, False, "", [], {})  # values with which any other key has no effect
HARMLESS_STARTS = (True, False, None, "gaussian", "orthogonal")  # others change the backbone's weights too
INSTEAD = (
    "fold it into its backbone with PEFT (merge_and_unload, then save_pretrained with the tokenizer) and "
    "give that folder as --backbone"
)


@dataclass(frozen=True)
class Foreign:
    """A PEFT adapter in our terms.

    Attributes:
        spec: its configuration.
        weights: by the library's neutral names, for `Host.place_adapter`.
        head: what it predicts, its labels named LABEL_0 and so on, since PEFT keeps no names; or None.
        head_weights: by their names inside our head, for `Host.place_head`.
        headless: why there is no head, where there is none.
    """

    spec: AdapterSpec
    weights: Tensors
    head: HeadSpec | None = None
    head_weights: Tensors = field(default_factory=dict)
    headless: str | None = None


def read(folder: Path, files: BackboneFiles) -> Foreign:
    """Reads what PEFT's `save_pretrained` wrote of a LoRA over a BERT- or XLM-R-type model.

    Args:
        files: the backbone it belongs to.

    Raises:
        AdapterError: damaged, a pickle, of another backbone, or with a setting that has no exact counterpart
            here; the message names it.
    """
    try:
        config = read_config(folder)
        check_named(config.get("base_model_name_or_path"), files)
        _check_settings(config)
        config = keep_known({key: config[key] for key in READ if key in config}, READ, CONFIG, ConfigError)[0]
        state = {name: tensor.float() for name, tensor in _weights(folder).items()}
        pairs, rest = _sorted(state, files)
        _check_modules(config, pairs, files)
        spec = _spec(config, pairs, files)
        weights = {
            neutral_name(module, side, files.model_type): pairs[module, side]
            for module, side in sorted(pairs)
        }
        return Foreign(spec, weights, *_head(config, rest, files))
    except ConfigError as error:
        raise AdapterError(f"the PEFT adapter in {folder} cannot be used here: {error}") from None
    except (TypeError, ValueError, AttributeError) as error:  # a value of another type than PEFT writes
        raise AdapterError(f"{folder / CONFIG} is malformed: {error}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration that PEFT wrote.

    Raises:
        AdapterError: missing, malformed, or of another method than LoRA.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise AdapterError(f"{folder} is not a PEFT adapter: it holds no {CONFIG}")
    data = read_object(path, AdapterError)
    if "peft_type" not in data:
        raise AdapterError(f"{path} is not the configuration of a PEFT adapter: it has no 'peft_type'")
    if data["peft_type"] != "LORA":
        raise AdapterError(
            f"{folder} is of PEFT's method {data['peft_type']}: of PEFT's, LoRA alone can be used"
        )
    return data


def _check_settings(config: Mapping[str, Any]) -> None:
    if config.get("bias", "none") != "none":
        raise ConfigError(f"bias: {config['bias']} trains the backbone's own biases: {INSTEAD}")
    if config.get("init_lora_weights", True) not in HARMLESS_STARTS:
        raise ConfigError(
            f"init_lora_weights: {config['init_lora_weights']} belongs to a backbone with changed weights: "
            "save it again with PEFT's save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    if config.get("layers_pattern") not in (None, [], "", "layer", ["layer"]):
        raise ConfigError(f"layers_pattern: {config['layers_pattern']} is not about this backbone's layers")
    for module in config.get("modules_to_save") or ():
        if module not in HEAD_MODULES:
            raise ConfigError(f"modules_to_save: {module} is no part of a head: {INSTEAD}")
    for key, value in config.items():
        if key not in {*WITHOUT_MEANING, *READ} and value not in UNUSED:
            raise ConfigError(f"its setting {key}: {str(value)[:80]} has no counterpart: {INSTEAD}")


def _weights(folder: Path) -> Tensors:
    pickled = folder / "adapter_model.bin"
    if pickled.exists() and not (folder / ADAPTER).exists():
        raise ConfigError(
            f"its weights are in {pickled.name}, a pickle, which is never loaded: save it again with PEFT "
            "(save_pretrained)"
        )
    state = tensors.load(folder / ADAPTER, None)
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise ConfigError(f"its tensor {name} is of type {tensor.dtype}")
    return state


Pairs = dict[tuple[str, str], torch.Tensor]  # (linear layer of the encoder, "A" or "B") -> factor


def _sorted(state: Tensors, files: BackboneFiles) -> tuple[Pairs, Tensors]:
    """The factors by their linear layers, and the head's tensors by names without the encoder's."""
    pairs: Pairs = {}
    rest: Tensors = {}
    for name, tensor in state.items():
        place = KEY.fullmatch(name)
        if place is None or place[1] not in (None, base_of(files.model_type)):
            raise ConfigError(f"its tensor {name} is of another type of model than {files.name}")
        factor = FACTOR.fullmatch(place[2])
        if factor and (factor[1], factor[2]) not in pairs:
            pairs[factor[1], factor[2]] = tensor
        elif HEAD_KEY.fullmatch(place[2]) and place[2] not in rest:
            rest[place[2]] = tensor
        else:
            raise ConfigError(f"its tensor {name} has no place in an adapter here: {INSTEAD}")
    return pairs, rest


def _check_modules(config: Mapping[str, Any], pairs: Pairs, files: BackboneFiles) -> None:
    """Checks that exactly the linear layers that the configuration names have factors; and their shapes."""
    r, shapes = config.get("r"), linear_layers(files)
    found = {module for module, _ in pairs}
    for module in sorted(found):
        if module not in shapes or _kind(module) not in REACHED:
            raise ConfigError(f"it changes {module}, which an adapter here does not reach: {INSTEAD}")
    named = _named(config, [module for module in shapes if _kind(module) in REACHED])
    for module in sorted(found | (found if named is None else named)):
        for side, shape in (("A", (r, shapes[module][1])), ("B", (shapes[module][0], r))):
            factor = pairs.get((module, side))
            if factor is None:
                raise ConfigError(f"the tensor {module}.lora_{side}.weight is missing from it")
            if factor.shape != shape:
                raise ConfigError(
                    f"its tensor {module}.lora_{side}.weight is of shape {tuple(factor.shape)}, not {shape}: "
                    "another rank, or another backbone"
                )
            if named is not None and module not in named:
                raise ConfigError(f"its tensor {module}.lora_{side}.weight is not among its target_modules")


def _kind(module: str) -> str:
    place = LAYER.fullmatch(module)
    return place[2] if place else module


def _named(config: Mapping[str, Any], modules: Collection[str]) -> set[str] | None:
    """The linear layers that the configuration names; None where that is a pattern, which is not run."""
    targets, left_out = config.get("target_modules"), config.get("exclude_modules")
    if targets == "all-linear":
        targets = list(REACHED)
    if isinstance(targets, str) or isinstance(left_out, str):
        return None
    if not isinstance(targets, list) or not isinstance(left_out, list | None):
        raise ConfigError("its target_modules are not named")
    numbers = config.get("layers_to_transform")
    layers = (
        None
        if numbers in (None, [])
        else {str(n) for n in (numbers if isinstance(numbers, list) else [numbers])}
    )
    return {
        module
        for module in modules
        if _among(module, targets)
        and not _among(module, left_out or [])
        and (layers is None or module.split(".")[2] in layers)
    }


def _among(module: str, names: list[Any]) -> bool:
    """Whether a name is one of the module's, from some point to its end, as PEFT compares them."""
    paths = [f".{base}{module}" for base in ("", "bert.", "roberta.")]
    return any(path.endswith(f".{name}") for path in paths for name in names)


def _spec(config: Mapping[str, Any], pairs: Pairs, files: BackboneFiles) -> AdapterSpec:
    places = [place for place in (LAYER.fullmatch(module) for module, _ in pairs) if place]
    layers = {int(place[1]): {p[2] for p in places if p[1] == place[1]} for place in places}
    kinds = {place[2] for place in places}
    if not layers:
        raise ConfigError("it holds no LoRA factors")
    for layer, own in sorted(layers.items()):
        if own != kinds:
            raise ConfigError(
                f"it changes {', '.join(sorted(kinds))}, in layer {layer} only {', '.join(sorted(own))}: "
                f"here all layers that have an adapter have the same: {INSTEAD}"
            )
    asked = {
        "r": config.get("r"),
        "alpha": config.get("lora_alpha"),
        "dropout": config.get("lora_dropout", 0.0),
    }
    part = Lora.parse(asked, "its configuration")
    attention = [letter for letter, name in ATTENTION.items() if name in kinds]
    settings = {
        "architecture": "lora",
        "selfattn_lora": bool(attention),
        "intermediate_lora": INTERMEDIATE in kinds,
        "output_lora": OUTPUT in kinds,
        "leave_out": [number for number in range(files.layers) if number not in layers],
        "r": part.r,
        # scaled by alpha / sqrt(r) there (Kalajdzievski 2023), by alpha / r here
        "alpha": part.alpha * math.sqrt(part.r) if config.get("use_rslora") else part.alpha,
        "dropout": part.dropout,
    }
    return AdapterSpec(
        name="lora", config=fill(settings | ({"attn_matrices": attention} if attention else {}))
    )


def _head(
    config: Mapping[str, Any], rest: Tensors, files: BackboneFiles
) -> tuple[HeadSpec | None, Tensors, str | None]:
    """The head and its tensors; or None and the reason."""
    kind = _head_kind(config, files.model_type)
    form = form_of(kind, files.model_type)
    places = {inside: place.removeprefix(form.encoder) for inside, place in form.places().items()}
    if kind is None or not rest:
        if kind and set(form.modules) & set(config.get("modules_to_save") or ()):
            raise ConfigError(f"the head's tensors are missing from it, such as {places['1.weight']}")
        return None, {}, "the file holds none" if not rest else "it does not say of which kind its task is"
    for name in rest:
        if name not in places.values():
            raise ConfigError(f"its tensor {name} is no part of a {class_name(form, files.model_type)}")
    own = _with_pooler(rest, form, files)
    if own is None:
        return None, {}, f"it reads the backbone's own pooler, and {files.name} comes without one"
    for name in places.values():
        if name not in own:
            raise ConfigError(f"the head's tensor {name} is missing from it")
    weights = {inside: own[place] for inside, place in places.items()}
    count = _outputs(weights, files.hidden_size)
    if count != {"span": 2, "choice": 1}.get(kind, max(count, 2)):
        return None, {}, f"a {kind} head with {count} outputs has no counterpart here"
    labels = tuple(f"LABEL_{n}" for n in range(count)) if kind in ("classification", "tagging") else ()
    return HeadSpec(kind, labels), weights, None


def _head_kind(config: Mapping[str, Any], model_type: str) -> HeadKind | None:
    """Of the task that the configuration names, or else of the class that it names."""
    if config.get("task_type"):
        return TASKS.get(config["task_type"])
    mapping = config.get("auto_mapping") or {}
    name = str(mapping.get("base_model_class", "")) if isinstance(mapping, dict) else ""
    return next((kind for kind in HEADS if name.endswith(form_of(kind, model_type).ending)), None)


def _with_pooler(rest: Tensors, form: Form, files: BackboneFiles) -> Tensors | None:
    """The tensors with the backbone's own pooler where the model reads one and none was trained."""
    if "pooler" not in form.modules or any(name.startswith("pooler.") for name in rest):
        return rest
    pooler = pooler_of(files)
    return rest | {f"pooler.dense.{part}": pooler[part] for part in pooler} if pooler else None


def _outputs(weights: Tensors, hidden: int) -> int:
    """How many outputs a head has, after checking the shapes of its tensors."""
    last = max(weights).partition(".")[0]
    count = int(weights[f"{last}.weight"].shape[0])
    for name, tensor in weights.items():
        wide = count if name.startswith(last) else hidden
        if tensor.shape != ((wide, hidden) if name.endswith("weight") else (wide,)):
            raise ConfigError(f"the head's tensor {name} is of shape {tuple(tensor.shape)}")
    return count
