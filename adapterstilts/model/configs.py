"""Adapter configurations: the named YAML files, custom ones, and overrides of single keys; all checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.paths import expanded
from adapterstilts.values import Value
from adapterstilts.yaml_lines import Document, read_value

DEFAULT = "seq_bn"
Activation = Literal[
    "relu", "leakyrelu", "gelu", "gelu_new", "swish", "silu", "tanh", "sigmoid", "mish", "quick_gelu"
]


def _not_bool(value: Any) -> Any:
    # pydantic takes true for 1.
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


def _reduction(value: Any) -> Any:
    if isinstance(value, Mapping):
        # Keys of text: the library fails on whole numbers.
        factors = {str(key): factor for key, factor in value.items()}
        for key in factors:
            if key != "default" and not re.fullmatch("0|[1-9][0-9]{0,3}", key):
                raise ValueError(f"'{key[:40]}' is neither the number of a layer nor 'default'")
        return factors
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a number, or a map from layer numbers and 'default' to numbers")
    return value


MAX_SIZE = 2**31 - 1  # bound of any size; `shapes.check_size` bounds the whole adapter
Number = Annotated[float, BeforeValidator(_not_bool)]
Whole = Annotated[int, BeforeValidator(_not_bool)]
Factor = Annotated[Number, Field(gt=0)]
# Smaller factors make an adapter more than a thousand times as wide as the encoder.
Reduction = Annotated[Number, Field(ge=0.001)]
# Larger factors make outputs that are not finite in float32.
Scale = Annotated[Number, Field(ge=-1e6, le=1e6)]
Dropout = Annotated[Number, Field(ge=0, lt=1)]
Layers = Annotated[tuple[Annotated[Whole, Field(ge=0)], ...], Field(default=(), max_length=1000)]


class Bottleneck(Value):
    """A bottleneck adapter: down-projection, non-linearity, up-projection.

    Attributes:
        mh_adapter: Whether there is an adapter after attention.
        output_adapter: Whether there is an adapter after the feed-forward block.
        reduction_factor: Hidden size / bottleneck width; or a map from layer number or "default" to it.
        non_linearity: Activation between the projections.
        original_ln_before: Whether the encoder's layer norm and residual are applied before the adapter.
        original_ln_after: Whether the encoder's layer norm and residual are applied after the adapter.
        ln_before, ln_after: New layer norms before and after the projections.
        init_weights: Initialisation: normal(0, 0.02) ("bert"), zero up-projection ("mam_adapter") or
            "houlsby".
        is_parallel: Whether the adapter is parallel to the block instead of after it.
        scaling: Factor of the output, or "learned" or "channel".
        use_gating: Whether a learned gate scales the output.
        residual_before_ln: Whether the residual is taken before the layer norm.
        adapter_residual_before_ln: Whether the residual is added before the new layer norm.
        inv_adapter: Type of an invertible adapter on the embeddings.
        inv_adapter_reduction_factor: Reduction factor of the invertible adapter.
        leave_out: Numbers (from 0) of the layers without an adapter.
        dropout: Dropout probability inside the adapter.
        phm_layer: Whether the projections are Compacter's (Karimi Mahabadi et al. 2021).
        phm_dim, phm_rank, phm_bias, phm_init_range, shared_phm_rule: Settings of Compacter's projections.
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
    phm_rank: Annotated[Whole, Field(gt=0, le=MAX_SIZE)] = 1
    phm_bias: StrictBool = True
    phm_init_range: Annotated[Number, Field(gt=0, le=1e6)] = 0.0001
    shared_phm_rule: StrictBool = True

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not (self.mh_adapter or self.output_adapter):
            raise ValueError("neither mh_adapter nor output_adapter is true: there would be no adapter")
        if self.phm_layer and (self.is_parallel or self.inv_adapter):
            raise ValueError("phm_layer cannot be combined with is_parallel or inv_adapter")
        if self.inv_adapter and self.inv_adapter_reduction_factor is None:
            raise ValueError("inv_adapter requires inv_adapter_reduction_factor")
        return self

    def width(self, layer: int, hidden: int) -> int:
        """Returns the bottleneck's width; 0 if a map of reduction factors does not cover the layer."""
        factor = self.reduction_factor
        if isinstance(factor, dict):
            factor = factor.get(str(layer), factor.get("default", 0.0))
        return max(int(hidden // factor), 1) if factor else 0

    def min_parameters(self, hidden: int, layers: int) -> int:
        """Returns a lower bound of the number of parameters."""
        size = 0
        for layer in set(range(layers)) - set(self.leave_out):
            width = self.width(layer, hidden)
            # Compacter's projections are products of small matrices.
            size += 2 * (hidden + width) * self.phm_rank if self.phm_layer and width else 2 * width * hidden
        size *= self.mh_adapter + self.output_adapter
        if self.inv_adapter and self.inv_adapter_reduction_factor:
            # Two small networks, each on one half of the embedding.
            half = hidden // 2
            size += 4 * half * int(half // self.inv_adapter_reduction_factor)
        return size


class Lora(Value):
    """A low-rank update of linear layers, or with `composition_mode: scale` one scale per unit, (IA)3.

    Attributes:
        selfattn_lora: Whether attention's projections have an update.
        intermediate_lora, output_lora: Same for the two linear layers of the feed-forward block.
        leave_out: Numbers (from 0) of the layers without an update.
        r: Rank of the update.
        alpha: Scale of the update, which is multiplied by alpha / r.
        dropout: Dropout probability on the input.
        attn_matrices: Projections of attention with an update.
        composition_mode: "add" for a low-rank update, "scale" for (IA)3.
        init_weights: Initialisation.
        use_gating: Whether a learned gate scales the update.
    """

    architecture: Literal["lora"] = "lora"
    selfattn_lora: StrictBool = True
    intermediate_lora: StrictBool = False
    output_lora: StrictBool = False
    leave_out: Layers
    r: Annotated[Whole, Field(gt=0, le=MAX_SIZE)] = 8
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
            raise ValueError("composition_mode: scale requires r: 1 and dropout: 0")
        return self

    def min_parameters(self, hidden: int, layers: int) -> int:
        """Returns a lower bound of the number of parameters."""
        used = len(set(range(layers)) - set(self.leave_out))
        attention = len(set(self.attn_matrices)) if self.selfattn_lora else 0
        if self.composition_mode == "scale":  # one vector per place
            return used * attention * hidden
        # The feed-forward block's inner side is at least as wide as the hidden size; it is not counted.
        return used * self.r * hidden * (2 * attention + self.intermediate_lora + self.output_lora)


class Prefix(Value):
    """Prefix tuning: learned keys and values before those of every layer.

    Attributes:
        prefix_length: Number of learned keys and values per layer.
        flat: Whether they are learned directly instead of through a network.
        bottleneck_size: Width of the network.
        non_linearity: Activation of the network.
        dropout: Dropout probability on the prefix.
        use_gating: Whether a learned gate scales the prefix.
        shared_gating: Whether keys and values share one gate.
        leave_out: Numbers (from 0) of the layers without a prefix.
    """

    architecture: Literal["prefix_tuning"] = "prefix_tuning"
    prefix_length: Annotated[Whole, Field(gt=0, le=MAX_SIZE)] = 30
    flat: StrictBool = False
    bottleneck_size: Annotated[Whole, Field(gt=0, le=MAX_SIZE)] = 512
    non_linearity: Activation = "tanh"
    dropout: Dropout = 0.0
    use_gating: StrictBool = False
    shared_gating: StrictBool = True
    leave_out: Layers

    def min_parameters(self, hidden: int, layers: int) -> int:
        """Returns a lower bound of the number of parameters."""
        used = len(set(range(layers)) - set(self.leave_out))
        prefix = self.prefix_length * hidden
        if not used:
            return 0
        return 2 * prefix if self.flat else prefix + self.bottleneck_size * hidden * (1 + 2 * used)


Part = Bottleneck | Lora | Prefix
PARTS: dict[str, type[Part]] = {"prefix_tuning": Prefix, "bottleneck": Bottleneck, "lora": Lora}


class AdapterSpec(Value):
    """One adapter's method with all of its settings.

    Attributes:
        name: Name of the configuration, for messages. `config` alone determines the adapter.
        config: Architecture (bottleneck, lora, prefix_tuning or union) and every key with defaults filled
            in. A union maps the architecture of each part to its keys.
    """

    name: str
    config: Mapping[str, Any]

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by architecture: one, or several for a union."""
        architecture = str(self.config["architecture"])
        if architecture != "union":
            return {architecture: PARTS[architecture].parse(self.config)}
        return {kind: PARTS[kind].parse(self.config[kind]) for kind in PARTS if kind in self.config}

    @property
    def method(self) -> str:
        """The method, which decides how the adapter can be composed.

        One of bottleneck, parallel, invertible, compacter, lora, ia3, prefix_tuning and union.
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

    @property
    def invertible(self) -> bool:
        """Whether the adapter has an invertible part on the embeddings."""
        part = self.parts.get("bottleneck")
        return isinstance(part, Bottleneck) and part.inv_adapter is not None

    def min_parameters(self, hidden: int, layers: int) -> int:
        """Returns a lower bound of the number of parameters, close to it for large adapters.

        Args:
            hidden: Hidden size of the encoder.
            layers: Number of layers of the encoder.
        """
        return sum(part.min_parameters(hidden, layers) for part in self.parts.values())

    def check_layers(self, layers: int) -> None:
        """Refuses layer numbers that the encoder does not have, in `leave_out` or in reduction factors.

        Args:
            layers: Number of layers of the encoder.

        Raises:
            ConfigError: A layer does not exist.
        """
        # Trap: the library ignores such numbers.
        for kind, part in self.parts.items():
            factors = part.reduction_factor if isinstance(part, Bottleneck) else None
            numbers = [int(key) for key in factors if key.isdigit()] if isinstance(factors, dict) else []
            for layer in (*part.leave_out, *numbers):
                if layer >= layers:
                    raise ConfigError(
                        f"{kind} of '{self.name}' names layer {layer}, but the encoder has layers "
                        f"0 to {layers - 1}"
                    )

    @staticmethod
    def load(name_or_path: str = DEFAULT, overrides: Mapping[str, Any] | None = None) -> AdapterSpec:
        """Reads a configuration and applies overrides.

        Args:
            name_or_path: Name of a configuration, see `names`, or path of a .yaml or .yml file.
            overrides: Values by key; text is a YAML scalar. Keys of a union's part are dotted: `lora.r`.

        Raises:
            ConfigError: A name or key is unknown (the nearest is named), or a value does not fit.
        """
        path = _find(name_or_path)
        data = Document.read(path, example="reduction_factor: 16").data
        try:
            for key, value in (overrides or {}).items():
                _override(data, key, read_value(value, key) if isinstance(value, str) else value)
            return AdapterSpec(name=path.stem, config=AdapterSpec.fill(data))
        except ConfigError as error:
            raise ConfigError(f"{error} (adapter configuration {name_or_path})") from None

    @staticmethod
    def fill(data: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a configuration with every key checked and all defaults filled in, as JSON values.

        Raises:
            ConfigError: A key is unknown, or a value does not fit.
        """
        architecture = data.get("architecture", "bottleneck")
        if architecture == "union":
            return _fill_union(data)
        if architecture not in PARTS:
            raise unknown("architecture", str(architecture), [*PARTS, "union"])
        part = PARTS[architecture].parse(data, "adapter config")
        filled = part.model_dump(mode="json")
        # Sets, in one order, so that equal settings have equal keys in the store.
        for key in ("leave_out", "attn_matrices"):
            if key in filled:
                filled[key] = sorted(set(filled[key]))
        return filled

    @staticmethod
    def names() -> tuple[str, ...]:
        """Returns the names that `--config` accepts, the default first."""
        names = sorted(path.stem for path in AdapterSpec.folder().glob("*.yaml"))
        return tuple(sorted(names, key=lambda name: name != DEFAULT))

    @staticmethod
    def folder() -> Path:
        """Returns the folder of the named configurations.

        Raises:
            ConfigError: The folder is missing.
        """
        # Inside an installed package, or at the top of a checkout.
        package = Path(__file__).parents[1]
        for folder in (package / "adapter_configs", package.parent / "adapter_configs"):
            if folder.is_dir():
                return folder
        raise ConfigError(f"the folder adapter_configs is missing from {package}: reinstall adapterstilts")


def _fill_union(data: Mapping[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {"architecture": "union"}
    for key, part in data.items():
        if key == "architecture":
            continue
        if key not in PARTS:
            raise unknown("adapter config key", str(key), PARTS)
        if not isinstance(part, Mapping):
            raise ConfigError(f"adapter config: {key}: should be a mapping of its keys, not {part!r}")
        filled[key] = AdapterSpec.fill({**part, "architecture": key})
    if len(filled) < 3:
        raise ConfigError("adapter config: a union requires at least two parts")
    return filled


def _find(name_or_path: str) -> Path:
    path = expanded(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"no adapter configuration file at {path}")
        return path
    if name_or_path not in AdapterSpec.names():
        raise unknown("adapter config", name_or_path, AdapterSpec.names())
    return AdapterSpec.folder() / f"{name_or_path}.yaml"


def _override(data: dict[str, Any], key: str, value: Any) -> None:
    part, dot, rest = key.partition(".")
    if not dot:
        data[key] = value
    elif isinstance(data.get(part), dict):
        data[part][rest] = value
    else:
        raise unknown("adapter config key", key, [k for k in data if isinstance(data[k], dict)] or data)
