"""Converts a LoRA adapter that PEFT saved. The conversion is exact, or refused with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

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
    form_of,
    linear_layers,
)
from adapterstilts.hub.peft_export import ADAPTER, CONFIG
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.known_keys import Accept, Rules, keep_known
from adapterstilts.model import tensors
from adapterstilts.model.backbone import WEIGHTS, BackboneFiles
from adapterstilts.model.configs import AdapterSpec, Lora
from adapterstilts.model.tensors import Tensors

ADAPTABLE = (*ATTENTION.values(), INTERMEDIATE, OUTPUT)
KEY = re.compile(r"base_model\.model\.(?:(bert|roberta)\.)?(.+)")
FACTOR = re.compile(r"(.+)\.lora_([AB])\.weight")
# Names of the heads of transformers' classes in `lora_tensors.form_of`
HEAD_KEY = re.compile(r"(pooler\.dense|classifier|classifier\.(?:dense|out_proj)|qa_outputs)\.(weight|bias)")
HEAD_MODULES = ("pooler", "classifier", "score", "qa_outputs")
TASKS: Mapping[str, HeadKind] = {"SEQ_CLS": "classification", "TOKEN_CLS": "tagging", "QUESTION_ANS": "span"}
# Keys that do not change the outputs of a loaded adapter
WITHOUT_EFFECT = {
    "peft_version", "base_model_name_or_path", "revision", "inference_mode", "megatron_core",
    "qalora_group_size", "merge_weights", "runtime_config",
}  # fmt: skip
# All other keys must have a value in UNUSED. PEFT adds keys with each version, and one that is not
# understood could change the outputs, so unknown keys are refused and not ignored.
NAMES = Accept.either(Accept.text(4000), Accept.items(Accept.text(200), 2000))
READ: Rules = {
    "peft_type": Accept.text(40),
    "task_type": Accept.nullable(Accept.text(40)),
    "auto_mapping": Accept.nullable(
        Accept.record({"base_model_class": Accept.text(200), "parent_library": Accept.ignored})
    ),
    "r": Accept.whole(1, 2**31),
    "lora_alpha": Accept.number(0, 1e6),
    "lora_dropout": Accept.number(0, 1),
    "use_rslora": Accept.nullable(Accept.flag),
    "bias": Accept.text(40),
    **dict.fromkeys(
        ("target_modules", "exclude_modules", "layers_pattern", "modules_to_save"), Accept.nullable(NAMES)
    ),
    "layers_to_transform": Accept.nullable(
        Accept.either(Accept.whole(0, 10_000), Accept.items(Accept.whole(0, 10_000), 1000))
    ),
    "init_lora_weights": Accept.nullable(Accept.either(Accept.flag, Accept.text(40))),
}
UNUSED: tuple[object, ...] = (None, False, "", [], {})  # values that switch a setting off
# Initialisations such as PiSSA and LoftQ also change the backbone's weights, which are not in the file
PLAIN_INITIALISATIONS = (True, False, None, "gaussian", "orthogonal")
INSTEAD = (
    "merge it into its backbone with PEFT (merge_and_unload, then save_pretrained with the tokenizer) and "
    "pass this folder with --backbone"
)


@dataclass(frozen=True)
class _PeftAdapter:
    """A converted PEFT adapter.

    Attributes:
        spec: Configuration of the adapter.
        weights: Tensors by the library's neutral names, for `Host.place_adapter`.
        head: Specification of the head, or None. Labels are LABEL_0 and so on: PEFT stores no names.
        head_weights: Tensors of the head by their names inside our head, for `Host.place_head`.
        headless: Reason why there is no head, None if there is one.
    """

    spec: AdapterSpec
    weights: Tensors
    head: HeadSpec | None = None
    head_weights: Tensors = field(default_factory=dict)
    headless: str | None = None


def read(folder: Path, files: BackboneFiles) -> _PeftAdapter:
    """Reads a LoRA for a BERT- or XLM-R-type model that PEFT's `save_pretrained` wrote.

    Args:
        folder: Folder of the two files.
        files: Backbone that the adapter belongs to.

    Raises:
        AdapterError: The adapter is damaged, a pickle, belongs to another backbone, or has a setting without
            an exact counterpart. The message names the setting.
    """
    try:
        config = _read_config(folder)
        check_named(config.get("base_model_name_or_path"), files)
        _check_settings(config)
        # Values are checked only now, so that the messages above can name the unsupported setting
        config = keep_known({key: config[key] for key in READ if key in config}, READ, CONFIG, ConfigError)[0]
        state = {name: tensor.float() for name, tensor in _weights(folder).items()}
        pairs, rest = _split_tensors(state, files)
        _check_modules(config, pairs, files)
        spec = _spec(config, pairs, files)
        weights = {
            _neutral_name(module, side, files.model_type): pairs[module, side]
            for module, side in sorted(pairs)
        }
        return _PeftAdapter(spec, weights, *_head(config, rest, files))
    except ConfigError as error:
        raise AdapterError(f"the PEFT adapter in {folder} cannot be used here: {error}") from None
    except (TypeError, ValueError, AttributeError) as error:  # a value of a type that PEFT never writes
        raise AdapterError(f"{folder / CONFIG} is malformed: {error}") from None


def _read_config(folder: Path) -> dict[str, Any]:
    """Reads PEFT's configuration.

    Raises:
        AdapterError: The file is missing or malformed, or the method is not LoRA.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise AdapterError(f"{folder} is not a PEFT adapter: it has no {CONFIG}")
    data = read_object(path, AdapterError)
    if "peft_type" not in data:
        raise AdapterError(f"{path} is not the configuration of a PEFT adapter: it has no 'peft_type'")
    if data["peft_type"] != "LORA":
        raise AdapterError(f"{folder} uses PEFT's method {data['peft_type']}: only LoRA is supported")
    return data


def _check_settings(config: Mapping[str, Any]) -> None:
    if config.get("bias", "none") != "none":
        raise ConfigError(f"bias: {config['bias']} trains the backbone's own biases: {INSTEAD}")
    if config.get("init_lora_weights", True) not in PLAIN_INITIALISATIONS:
        raise ConfigError(
            f"init_lora_weights: {config['init_lora_weights']} requires a backbone with changed weights: "
            "save it again with PEFT's save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    if config.get("layers_pattern") not in (None, [], "", "layer", ["layer"]):
        raise ConfigError(
            f"layers_pattern: {config['layers_pattern']} does not match the layers of this backbone"
        )
    for module in config.get("modules_to_save") or ():
        if module not in HEAD_MODULES:
            raise ConfigError(f"modules_to_save: {module} is not part of a head: {INSTEAD}")
    for key, value in config.items():
        if key not in {*WITHOUT_EFFECT, *READ} and value not in UNUSED:
            raise ConfigError(f"the setting {key}: {str(value)[:80]} is not supported: {INSTEAD}")


def _weights(folder: Path) -> Tensors:
    pickled = folder / "adapter_model.bin"  # PEFT's older format
    if pickled.exists() and not (folder / ADAPTER).exists():
        raise ConfigError(
            f"its weights are in {pickled.name}, a pickle, which can run code and is never loaded: "
            "save it again with PEFT (save_pretrained)"
        )
    state = tensors.load(folder / ADAPTER, None)
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            # Quantised weights cannot be converted exactly
            raise ConfigError(f"its tensor {name} has the type {tensor.dtype}, which is not a float")
    return state


Pairs = dict[tuple[str, str], torch.Tensor]  # (linear layer of the encoder, "A" or "B") -> factor


def _split_tensors(state: Tensors, files: BackboneFiles) -> tuple[Pairs, Tensors]:
    """Splits tensors into LoRA factors by linear layer, and tensors of the head by their short names."""
    pairs: Pairs = {}
    rest: Tensors = {}
    for name, tensor in state.items():
        match = KEY.fullmatch(name)
        if match is None or match[1] not in (None, base_of(files.model_type)):
            raise ConfigError(f"its tensor {name} belongs to another type of model than {files.name}")
        factor = FACTOR.fullmatch(match[2])
        # Two spellings of one name, with and without "bert.", must not silently overwrite each other
        if factor and (factor[1], factor[2]) not in pairs:
            pairs[factor[1], factor[2]] = tensor
        elif HEAD_KEY.fullmatch(match[2]) and match[2] not in rest:
            rest[match[2]] = tensor
        else:
            raise ConfigError(f"its tensor {name} is not supported: {INSTEAD}")
    return pairs, rest


def _check_modules(config: Mapping[str, Any], pairs: Pairs, files: BackboneFiles) -> None:
    """Checks that exactly the linear layers in the configuration have factors, and the shapes of these."""
    r, shapes = config.get("r"), linear_layers(files)
    changed = {module for module, _ in pairs}
    for module in sorted(changed):
        if module not in shapes or _kind(module) not in ADAPTABLE:
            raise ConfigError(f"it changes {module}, which adapters cannot change: {INSTEAD}")
    # A listed layer without factors, or the reverse, means that the two files do not belong together
    targets = _target_modules(config, [module for module in shapes if _kind(module) in ADAPTABLE])
    for module in sorted(changed | (targets or set())):
        for side, shape in (("A", (r, shapes[module][1])), ("B", (shapes[module][0], r))):
            factor = pairs.get((module, side))
            if factor is None:
                raise ConfigError(f"its tensor {module}.lora_{side}.weight is missing")
            if factor.shape != shape:
                raise ConfigError(
                    f"its tensor {module}.lora_{side}.weight has the shape {tuple(factor.shape)}, "
                    f"not {shape}: another rank, or another backbone"
                )
            if targets is not None and module not in targets:
                raise ConfigError(f"its tensor {module}.lora_{side}.weight is not among its target_modules")


def _kind(module: str) -> str:
    match = LAYER.fullmatch(module)
    return match[2] if match else module


def _target_modules(config: Mapping[str, Any], modules: Collection[str]) -> set[str] | None:
    """Returns the linear layers that the configuration lists, None if it uses a regular expression."""
    targets, excluded = config.get("target_modules"), config.get("exclude_modules")
    if targets == "all-linear":
        targets = list(ADAPTABLE)
    # A stranger's regular expression is never run: it can take exponential time
    if isinstance(targets, str) or isinstance(excluded, str):
        return None
    if not isinstance(targets, list) or not isinstance(excluded, list | None):
        raise ConfigError("its target_modules are missing or malformed")
    numbers = config.get("layers_to_transform")
    layers = (
        None
        if numbers in (None, [])
        else {str(number) for number in (numbers if isinstance(numbers, list) else [numbers])}
    )
    return {
        module
        for module in modules
        if _matches(module, targets)
        and not _matches(module, excluded or [])
        and (layers is None or module.split(".")[2] in layers)
    }


def _matches(module: str, names: list[Any]) -> bool:
    """Whether the module's path ends with one of the names, which is how PEFT compares them."""
    paths = [f".{base}{module}" for base in ("", "bert.", "roberta.")]
    return any(path.endswith(f".{name}") for path in paths for name in names)


def _spec(config: Mapping[str, Any], pairs: Pairs, files: BackboneFiles) -> AdapterSpec:
    layers: dict[int, set[str]] = {}
    for match in (LAYER.fullmatch(module) for module, _ in pairs):
        if match:
            layers.setdefault(int(match[1]), set()).add(match[2])
    kinds = {kind for modules in layers.values() for kind in modules}
    if not layers:
        raise ConfigError("it has no LoRA factors")
    for layer, modules in sorted(layers.items()):
        if modules != kinds:
            raise ConfigError(
                f"it changes {', '.join(sorted(kinds))}, but in layer {layer} only "
                f"{', '.join(sorted(modules))}. All adapted layers must change the same modules: {INSTEAD}"
            )
    values = {
        "r": config.get("r"),
        "alpha": config.get("lora_alpha"),
        "dropout": config.get("lora_dropout", 0.0),
    }
    part = Lora.parse(values, "its configuration")
    attention = [letter for letter, name in ATTENTION.items() if name in kinds]
    settings = {
        "architecture": "lora",
        "selfattn_lora": bool(attention),
        "intermediate_lora": INTERMEDIATE in kinds,
        "output_lora": OUTPUT in kinds,
        "leave_out": [number for number in range(files.layers) if number not in layers],
        "r": part.r,
        # rsLoRA scales by alpha / sqrt(r) (Kalajdzievski 2023), the `adapters` library by alpha / r
        "alpha": part.alpha * math.sqrt(part.r) if config.get("use_rslora") else part.alpha,
        "dropout": part.dropout,
    }
    return AdapterSpec(
        name="lora", config=AdapterSpec.fill(settings | ({"attn_matrices": attention} if attention else {}))
    )


def _head(
    config: Mapping[str, Any], rest: Tensors, files: BackboneFiles
) -> tuple[HeadSpec | None, Tensors, str | None]:
    """Returns the head and its tensors, or None and the reason."""
    kind = _head_kind(config, files.model_type)
    form = form_of(kind, files.model_type)
    names = {source: target.removeprefix(form.encoder) for source, target in form.tensor_names().items()}
    if kind is None or not rest:
        if kind and set(form.modules) & set(config.get("modules_to_save") or ()):
            raise ConfigError(f"tensors of its head are missing, such as {names['1.weight']}")
        return None, {}, "the file has none" if not rest else "its type of task is not specified"
    for name in rest:
        if name not in names.values():
            raise ConfigError(f"its tensor {name} is not part of a {form.class_name(files.model_type)}")
    state = _with_pooler(rest, form, files)
    if state is None:
        return None, {}, f"it requires the pooler of the backbone, and {files.name} has none"
    for name in names.values():
        if name not in state:
            raise ConfigError(f"the tensor {name} of its head is missing")
    weights = {source: state[target] for source, target in names.items()}
    count = _outputs(weights, files.hidden_size)
    if count != {"span": 2, "choice": 1}.get(kind, max(count, 2)):
        return None, {}, f"a {kind} head with {count} outputs is not supported"
    labels = (
        tuple(f"LABEL_{number}" for number in range(count)) if kind in ("classification", "tagging") else ()
    )
    return HeadSpec(kind, labels), weights, None


def _head_kind(config: Mapping[str, Any], model_type: str) -> HeadKind | None:
    """Returns the kind of head from the task type in the configuration, or from its model class."""
    if config.get("task_type"):
        return TASKS.get(config["task_type"])
    mapping = config.get("auto_mapping") or {}
    name = str(mapping.get("base_model_class", "")) if isinstance(mapping, dict) else ""
    return next((kind for kind in HEADS if name.endswith(form_of(kind, model_type).ending)), None)


def _with_pooler(rest: Tensors, form: Form, files: BackboneFiles) -> Tensors | None:
    """Adds the backbone's pooler if the model reads one and none was trained; None if it has none."""
    if "pooler" not in form.modules or any(name.startswith("pooler.") for name in rest):
        return rest
    pooler = _pooler_of(files)
    return rest | {f"pooler.dense.{part}": pooler[part] for part in pooler} if pooler else None


def _outputs(weights: Tensors, hidden: int) -> int:
    """Returns the number of outputs of a head, after checking the shapes of its tensors."""
    output_layer = max(weights).partition(".")[0]
    count = int(weights[f"{output_layer}.weight"].shape[0])
    for name, tensor in weights.items():
        width = count if name.startswith(output_layer) else hidden
        if tensor.shape != ((width, hidden) if name.endswith("weight") else (width,)):
            raise ConfigError(f"the tensor {name} of its head has the shape {tuple(tensor.shape)}")
    return count


def _neutral_name(module: str, side: str, model_type: str) -> str:
    """Returns the library's neutral name of a tensor.

    Args:
        module: Linear layer of the encoder, as in the keys of `OneLora.pairs`.
        side: Factor, "A" or "B".
        model_type: Model type of the backbone.
    """
    return f"{base_of(model_type)}.{module}.loras.*.lora_{side}"


def _pooler_of(files: BackboneFiles) -> Tensors | None:
    """Returns weight and bias of the backbone's pooler in float32, None if its checkpoint has none."""
    with safe_open(files.folder / WEIGHTS, framework="pt") as file:
        names = [name for name in file.keys() if re.search(r"(^|\.)pooler\.dense\.", name)]  # noqa: SIM118
        pooler = {name.rpartition(".")[2]: file.get_tensor(name).float() for name in names}
    return pooler if pooler.keys() == {"weight", "bias"} else None
