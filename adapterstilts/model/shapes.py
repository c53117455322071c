"""Whether the tensors of a saved adapter are those of its configuration, without an encoder to load them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from adapterstilts.errors import AdapterError
from adapterstilts.model.configs import AdapterSpec, Bottleneck, Lora, Part, Prefix
from adapterstilts.model.size import bottleneck_width

Shape = tuple[int, ...]
LAYER = re.compile(r"\.layer\.(\d+)\.(.+?)\.(?:adapters|loras|prefix_tuning)\.")
MARKS = {"bottleneck": ".adapters.", "lora": ".loras.", "prefix_tuning": "prefix_tunings."}
LORA_PLACES = {
    "attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
    "intermediate.dense": "intermediate", "output.dense": "output",
}  # fmt: skip


def check_shapes(
    shapes: Mapping[str, Shape], spec: AdapterSpec, hidden: int, layers: int, what: object
) -> None:
    """Refuses tensors of another method, rank, width, place or layer than the configuration says.

    Args:
        shapes: of the tensors, by their names in the file.
        hidden: hidden size of the encoder.
        layers: layers of the encoder.
        what: names the adapter in messages.

    Raises:
        AdapterError: with the tensor that does not fit.
    """
    for kind, mark in MARKS.items():
        part = spec.parts.get(kind)
        tensors = {name: shape for name, shape in shapes.items() if mark in name}
        used = set(range(layers)) - set(part.leave_out) if part else set()
        if bool(tensors) != bool(part and used):
            raise AdapterError(
                f"{what}: its configuration has {'a' if part else 'no'} {kind} part, but its file has "
                f"{'tensors of one' if tensors else 'no tensor of it'}"
            )
        if part is None:
            continue
        if kind != "prefix_tuning":  # which has one network for all layers
            _check_places(tensors, part, used, what)
        for name, shape in tensors.items():
            for number, size in _sizes(name, shape, part, hidden):
                if len(shape) <= number or shape[number] != size:
                    raise AdapterError(
                        f"{what}: {name} has the shape {shape}, but by its configuration size "
                        f"{number + 1} of it is {size}"
                    )


def _check_places(tensors: Mapping[str, Shape], part: Part, used: set[int], what: object) -> None:
    matches = [match for match in map(LAYER.search, tensors) if match]
    found = {(int(match[1]), _place(match[2], part)) for match in matches}
    wanted = {(layer, place) for layer in used for place in _places(part)}
    if found != wanted:
        layer, place = min(found ^ wanted)
        raise AdapterError(
            f"{what}: its configuration and its file differ about layer {layer}, {place}: one of them has "
            "an adapter there"
        )


def _place(path: str, part: Part) -> str:
    if isinstance(part, Lora):
        return LORA_PLACES.get(path, path)
    return "attention" if "attention" in path else "output"


def _places(part: Part) -> set[str]:
    match part:
        case Lora():
            attention = set(part.attn_matrices) if part.selfattn_lora else set()
            others = {"intermediate": part.intermediate_lora, "output": part.output_lora}
            return {*attention, *(place for place, has in others.items() if has)}
        case Bottleneck():
            has = {"attention": part.mh_adapter, "output": part.output_adapter}
            return {place for place, there in has.items() if there}
    return set()


def _sizes(name: str, shape: Shape, part: Part, hidden: int) -> Iterator[tuple[int, int]]:
    """Which sizes of a tensor follow from the configuration: number of the dimension, size."""
    match part:
        case Lora():
            ranks = {"lora_A": 0, "lora_B": 1}
            yield from ((number, part.r) for end, number in ranks.items() if name.endswith(end))
        case Prefix():
            yield from _sizes_of_prefix(name, shape, part, hidden)
        case Bottleneck():
            yield from _sizes_of_bottleneck(name, shape, part, hidden)


def _sizes_of_prefix(name: str, shape: Shape, part: Prefix, hidden: int) -> Iterator[tuple[int, int]]:
    if name.endswith("wte.weight"):
        yield from enumerate((part.prefix_length, hidden))
    elif name.endswith("control_trans.0.weight"):
        yield from enumerate((part.bottleneck_size, hidden))
    elif name.endswith("control_trans") and shape[0] % (2 * part.prefix_length * hidden):
        yield 0, 2 * part.prefix_length * hidden


def _sizes_of_bottleneck(name: str, shape: Shape, part: Bottleneck, hidden: int) -> Iterator[tuple[int, int]]:
    layer = LAYER.search(name)
    width = bottleneck_width(part, int(layer[1]) if layer else 0, hidden)
    if name.endswith(("W_left", "W_right")):
        yield 0, part.phm_dim
        yield (2 if name.endswith("W_left") else 1), part.phm_rank
    elif re.search(r"adapter_down\.\d\.weight$", name) and len(shape) > 1:  # else a layer norm
        yield from enumerate((width, hidden))
    elif name.endswith("adapter_up.weight"):
        yield from enumerate((hidden, width))
