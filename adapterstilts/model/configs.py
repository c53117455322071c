"""Adapter configurations: the named YAML files, a user's own, and overrides of single keys; all checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.paths import expanded
from adapterstilts.values import Value
from adapterstilts.yaml_lines import read_document, read_value

DEFAULT = "seq_bn"
Activation = Literal[
    "relu", "leakyrelu", "gelu", "gelu_new", "swish", "silu", "tanh", "sigmoid", "mish", "quick_gelu"
]


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")
    return value


def _reduction(value: Any) -> Any:
    if isinstance(value, Mapping):
        factors = {str(key): factor for key, factor in value.items()}
        for key in factors:
            if key != "default" and not re.fullmatch("0|[1-9][0-9]{0,3}", key):
                raise ValueError(f"'{key[:40]}' is neither the number of a layer nor 'default'")
        return factors
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is wanted, or a map from layer numbers and 'default' to numbers")
    return value


MOST = 2**31 - 1  # of any size; `model/size.py` bounds what they make together
Number = Annotated[float, BeforeValidator(_not_bool)]
Whole = Annotated[int, BeforeValidator(_not_bool)]
Factor = Annotated[Number, Field(gt=0)]
Reduction = Annotated[Number, Field(ge=0.001)]  # below, the adapter would be a thousand encoders wide
Scale = Annotated[Number, Field(ge=-1e6, le=1e6)]  # beyond, outputs are not finite in float32
Dropout = Annotated[Number, Field(ge=0, lt=1)]
Layers = Annotated[tuple[Annotated[Whole, Field(ge=0)], ...], Field(default=(), max_length=1000)]


class Bottleneck(Value):
    """A bottleneck adapter: down-projection, non-linearity, up-projection.

    Attributes:
        mh_adapter, output_adapter: after attention; after the feed-forward block.
        reduction_factor: hidden size / bottleneck width; or a map from layer number (or "default").
        original_ln_before, original_ln_after: the encoder's layer norm and residual before; after.
        ln_before, ln_after: new layer norms.
        residual_before_ln, adapter_residual_before_ln: where the residual is taken; added.
        init_weights: normal(0, 0.02) ("bert"), up-projection zero ("mam_adapter"), or "houlsby".
        is_parallel: beside the block instead of after it.
        scaling: factor of the output, or "learned" or "channel".
        use_gating: a learned gate on the output.
        inv_adapter, inv_adapter_reduction_factor: an invertible adapter on the embeddings.
        leave_out: layers (from 0) without an adapter.
        phm_layer, phm_dim, phm_rank, phm_bias, phm_init_range, shared_phm_rule: Compacter's projections.
    """

    architecture: Literal["bottleneck"] = "bottleneck"
    mh_adapter: StrictBool = False
    output_adapter: StrictBool = True
    reduction_factor: Annotated[Reduction | dict[str, Reduction], BeforeValidator(_reduction)] = 16.0
    non_linearity: Activation = "relu"
    original_ln_before: StrictBool = False
    original_ln_after: StrictBool = True
    ln_before: StrictBool = False
    ln_after: StrictBool = False
    init_weights: Literal["bert", "mam_adapter", "houlsby"] = "bert"
    is_parallel: StrictBool = False
    scaling: Scale | Literal["learned", "channel"] = 1.0
    use_gating: StrictBool = False
    residual_before_ln: StrictBool | Literal["post_add"] = True
    adapter_residual_before_ln: StrictBool = False
    inv_adapter: Literal["nice"] | None = None
    inv_adapter_reduction_factor: Reduction | None = None
    leave_out: Layers
    dropout: Dropout = 0.0
    phm_layer: StrictBool = False
    phm_dim: Annotated[Whole, Field(gt=0, le=256)] = 4
    phm_rank: Annotated[Whole, Field(gt=0, le=MOST)] = 1
    phm_bias: StrictBool = True
    phm_init_range: Annotated[Number, Field(gt=0, le=1e6)] = 0.0001
    shared_phm_rule: StrictBool = True

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not (self.mh_adapter or self.output_adapter):
            raise ValueError("neither mh_adapter nor output_adapter is true: there would be no adapter")
        if self.phm_layer and (self.is_parallel or self.inv_adapter):
            raise ValueError("phm_layer goes with neither is_parallel nor inv_adapter")
        if self.inv_adapter and self.inv_adapter_reduction_factor is None:
            raise ValueError("inv_adapter needs inv_adapter_reduction_factor")
        return self


class Lora(Value):
    """A low-rank update of linear layers, or with `composition_mode: scale` one scale per unit, (IA)3.

    Attributes:
        selfattn_lora, intermediate_lora, output_lora: which linear layers.
        attn_matrices: which projections of attention.
        r, alpha: rank; the update is scaled by alpha / r.
    """

    architecture: Literal["lora"] = "lora"
    selfattn_lora: StrictBool = True
    intermediate_lora: StrictBool = False
    output_lora: StrictBool = False
    leave_out: Layers
    r: Annotated[Whole, Field(gt=0, le=MOST)] = 8
    alpha: Annotated[Number, Field(gt=0, le=1e6)] = 8.0
    dropout: Dropout = 0.0
    attn_matrices: tuple[Literal["q", "k", "v"], ...] = ("q", "v")
    composition_mode: Literal["add", "scale"] = "add"
    init_weights: Literal["lora", "bert", "ia3"] = "lora"
    use_gating: StrictBool = False

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not (self.selfattn_lora or self.intermediate_lora or self.output_lora):
            raise ValueError("none of selfattn_lora, intermediate_lora and output_lora is true")
        if self.composition_mode == "scale" and (self.r != 1 or self.dropout):
            raise ValueError("composition_mode: scale needs r: 1 and dropout: 0")
        return self


class Prefix(Value):
    """Learned keys and values before those of every layer.

    Attributes:
        flat: learn them directly instead of through a network of width `bottleneck_size`.
        use_gating, shared_gating: a learned gate on the prefix, one for keys and values together.
    """

    architecture: Literal["prefix_tuning"] = "prefix_tuning"
    prefix_length: Annotated[Whole, Field(gt=0, le=MOST)] = 30
    flat: StrictBool = False
    bottleneck_size: Annotated[Whole, Field(gt=0, le=MOST)] = 512
    non_linearity: Activation = "tanh"
    dropout: Dropout = 0.0
    use_gating: StrictBool = False
    shared_gating: StrictBool = True
    leave_out: Layers


Part = Bottleneck | Lora | Prefix
PARTS: dict[str, type[Part]] = {"prefix_tuning": Prefix, "bottleneck": Bottleneck, "lora": Lora}


class AdapterSpec(Value):
    """One adapter's method with all of its settings.

    Attributes:
        name: the configuration's name, for people; `config` alone determines the adapter.
        config: `architecture` (bottleneck, lora, prefix_tuning or union) and every key, defaults filled
            in; a union maps the architecture of each part to its keys.
    """

    name: str
    config: Mapping[str, Any]

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by architecture; one, except for a union."""
        architecture = str(self.config["architecture"])
        if architecture != "union":
            return {architecture: PARTS[architecture].parse(self.config)}
        return {kind: PARTS[kind].parse(self.config[kind]) for kind in PARTS if kind in self.config}

    @property
    def method(self) -> str:
        """What decides how it can be composed: bottleneck, parallel, invertible, compacter, lora, ia3,
        prefix_tuning or union.
        """
        parts = self.parts
        if len(parts) > 1:
            return "union"
        match next(iter(parts.values())):
            case Bottleneck(is_parallel=True):
                return "parallel"
            case Bottleneck(inv_adapter="nice"):
                return "invertible"
            case Bottleneck(phm_layer=True):
                return "compacter"
            case Lora(composition_mode="scale"):
                return "ia3"
            case part:
                return part.architecture


def config_folder() -> Path:
    """Where the named configurations are: inside an installed package, or at the top of a checkout.

    Raises:
        ConfigError: neither is there.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "adapter_configs", package.parent / "adapter_configs"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder adapter_configs is missing from {package}: install the package again")


def config_names() -> tuple[str, ...]:
    """Names that `--config` can take, the default first."""
    names = sorted(path.stem for path in config_folder().glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT))


def adapter_config(name_or_path: str = DEFAULT, overrides: Mapping[str, Any] | None = None) -> AdapterSpec:
    """Reads a configuration and applies overrides.

    Args:
        name_or_path: one of `config_names()`, or the path of a YAML file (.yaml or .yml).
        overrides: key -> value; text is read as a YAML scalar. A key of a union's part is written
            `lora.r`.

    Raises:
        ConfigError: an unknown name or key (the nearest one is named), or a value that does not fit.
    """
    path = _find(name_or_path)
    data = read_document(path, example="reduction_factor: 16").data
    try:
        for key, value in (overrides or {}).items():
            _override(data, key, read_value(value, key) if isinstance(value, str) else value)
        return AdapterSpec(name=path.stem, config=fill(data))
    except ConfigError as error:
        raise ConfigError(f"{error} (adapter configuration {name_or_path})") from None


def fill(data: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with every key checked and all defaults filled in, as JSON values."""
    architecture = data.get("architecture", "bottleneck")
    if architecture == "union":
        return _fill_union(data)
    if architecture not in PARTS:
        raise unknown("architecture", str(architecture), [*PARTS, "union"])
    part = PARTS[architecture].parse(data, "adapter config")
    filled = part.model_dump(mode="json")
    for key in ("leave_out", "attn_matrices"):  # sets: one order, so that equal settings have equal keys
        if key in filled:
            filled[key] = sorted(set(filled[key]))
    return filled


def _fill_union(data: Mapping[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {"architecture": "union"}
    for key, part in data.items():
        if key == "architecture":
            continue
        if key not in PARTS:
            raise unknown("adapter config key", str(key), PARTS)
        if not isinstance(part, Mapping):
            raise ConfigError(f"adapter config: {key}: a mapping of its keys is wanted, not {part!r}")
        filled[key] = fill({**part, "architecture": key})
    if len(filled) < 3:
        raise ConfigError("adapter config: a union needs at least two parts")
    return filled


def _find(name_or_path: str) -> Path:
    path = expanded(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"no adapter configuration file at {path}")
        return path
    if name_or_path not in config_names():
        raise unknown("adapter config", name_or_path, config_names())
    return config_folder() / f"{name_or_path}.yaml"


def _override(data: dict[str, Any], key: str, value: Any) -> None:
    part, dot, rest = key.partition(".")
    if not dot:
        data[key] = value
    elif isinstance(data.get(part), dict):
        data[part][rest] = value
    else:
        raise unknown("adapter config key", key, [k for k in data if isinstance(data[k], dict)] or data)
