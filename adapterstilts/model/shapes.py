"""Whether a configuration, an encoder and saved tensors fit, compared before memory is spent on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.model.configs import AdapterSpec, Bottleneck, Lora, Part, Prefix

Shape = tuple[int, ...]
MAX_PARAMETERS = 2**30  # 4 GiB in float32, more than the largest supported encoder
SMALL = 2**21  # parameters that fit into any memory
LAYER = re.compile(r"\.layer\.(\d+)\.(.+?)\.(?:adapters|loras|prefix_tuning)\.")
MARKS = {"bottleneck": ".adapters.", "lora": ".loras.", "prefix_tuning": "prefix_tunings."}
LORA_PLACES = {
    "attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
    "intermediate.dense": "intermediate", "output.dense": "output",
}  # fmt: skip


def check_size(spec: AdapterSpec, hidden: int, layers: int) -> None:
    """Refuses a configuration whose adapter would be larger than any supported encoder.

    Args:
        hidden: Hidden size of the encoder.
        layers: Number of layers of the encoder.

    Raises:
        ConfigError: The adapter would be too large.
    """
    size = spec.min_parameters(hidden, layers)
    if size > MAX_PARAMETERS:
        raise ConfigError(
            f"an adapter of '{spec.name}' has at least {size:,} parameters on {layers} layers of width "
            f"{hidden}, more than the maximum of {MAX_PARAMETERS:,}: use a smaller r, prefix_length or "
            "bottleneck_size, or a larger reduction_factor"
        )


def check_file_size(spec: AdapterSpec, count: int, hidden: int, layers: int, adapter: object) -> None:
    """Refuses an adapter whose configuration describes far more parameters than its file holds.

    Args:
        count: Number of parameters in the file.
        hidden: Hidden size of the encoder.
        layers: Number of layers of the encoder.
        adapter: Name or folder of the adapter, for messages.

    Raises:
        AdapterError: The file is too small for the configuration.
    """
    size = spec.min_parameters(hidden, layers)
    # A hostile configuration of a few bytes must not allocate gigabytes. Smaller differences are found when
    # the adapter is built and its tensors are compared one by one.
    if size > max(2 * count, SMALL):
        raise AdapterError(
            f"{adapter}: its configuration describes at least {size:,} parameters, but its file holds "
            f"{count:,}: they do not belong together"
        )


def check_shapes(
    shapes: Mapping[str, Shape], spec: AdapterSpec, hidden: int, layers: int, adapter: object
) -> None:
    """Refuses tensors whose method, rank, width, place or layer differs from the configuration.

    Args:
        shapes: Shapes of the tensors, by their names in the file.
        hidden: Hidden size of the encoder.
        layers: Number of layers of the encoder.
        adapter: Name or folder of the adapter, for messages.

    Raises:
        AdapterError: A tensor does not fit; the message names it.
    """
    for kind, mark in MARKS.items():
        part = spec.parts.get(kind)
        tensors = {name: shape for name, shape in shapes.items() if mark in name}
        used = set(range(layers)) - set(part.leave_out) if part else set()
        if bool(tensors) != bool(part and used):
            raise AdapterError(
                f"{adapter}: its configuration has {'a' if part else 'no'} {kind} part, but its file has "
                f"{'tensors of one' if tensors else 'no tensor of it'}"
            )
        if part is None:
            continue
        if kind != "prefix_tuning":  # one network generates the prefixes of all layers
            _check_places(tensors, part, used, adapter)
        for name, shape in tensors.items():
            for axis, size in _expected_sizes(name, shape, part, hidden):
                if len(shape) <= axis or shape[axis] != size:
                    raise AdapterError(
                        f"{adapter}: {name} has the shape {shape}, but the configuration requires size "
                        f"{size} in dimension {axis + 1}"
                    )


def _check_places(tensors: Mapping[str, Shape], part: Part, used: set[int], adapter: object) -> None:
    places = set()
    for match in filter(None, map(LAYER.search, tensors)):
        if isinstance(part, Lora):
            place = LORA_PLACES.get(match[2], match[2])
        else:
            place = "attention" if "attention" in match[2] else "output"
        places.add((int(match[1]), place))
    expected = {(layer, place) for layer in used for place in _expected_places(part)}
    if places != expected:
        layer, place = min(places ^ expected)
        raise AdapterError(
            f"{adapter}: its configuration and its file differ in layer {layer}, {place}: only one of them "
            "has an adapter there"
        )


def _expected_places(part: Part) -> set[str]:
    places: dict[str, bool] = {}
    match part:
        case Lora():
            places = dict.fromkeys(part.attn_matrices, part.selfattn_lora)
            places |= {"intermediate": part.intermediate_lora, "output": part.output_lora}
        case Bottleneck():
            places = {"attention": part.mh_adapter, "output": part.output_adapter}
    return {place for place, used in places.items() if used}


def _expected_sizes(name: str, shape: Shape, part: Part, hidden: int) -> Iterator[tuple[int, int]]:
    """Yields those sizes of a tensor that follow from the configuration, as pairs of axis and size."""
    match part:
        case Lora():
            axes = {"lora_A": 0, "lora_B": 1}
            yield from ((axis, part.r) for end, axis in axes.items() if name.endswith(end))
        case Prefix():
            if name.endswith("wte.weight"):
                yield from enumerate((part.prefix_length, hidden))
            elif name.endswith("control_trans.0.weight"):
                yield from enumerate((part.bottleneck_size, hidden))
            elif name.endswith("control_trans") and shape[0] % (2 * part.prefix_length * hidden):
                # A flat prefix: one vector for the keys and values of all layers.
                yield 0, 2 * part.prefix_length * hidden
        case Bottleneck():
            layer = LAYER.search(name)
            width = part.width(int(layer[1]) if layer else 0, hidden)
            if name.endswith(("W_left", "W_right")):  # Compacter
                yield 0, part.phm_dim
                yield (2 if name.endswith("W_left") else 1), part.phm_rank
            # A layer norm before the projection has one dimension.
            elif re.search(r"adapter_down\.\d\.weight$", name) and len(shape) > 1:
                yield from enumerate((width, hidden))
            elif name.endswith("adapter_up.weight"):
                yield from enumerate((hidden, width))
