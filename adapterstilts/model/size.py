"""How many numbers an adapter has, from its configuration alone: compared before memory is allocated."""

from __future__ import annotations

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.model.configs import AdapterSpec, Bottleneck, Lora, Part, Prefix

SMALL = 2**21  # numbers that fit into any memory
LARGEST = 2**30  # numbers: 4 GiB in float32, more than the largest encoder here has


def check_size(spec: AdapterSpec, hidden: int, layers: int) -> None:
    """Refuses a configuration whose adapter would be larger than any encoder here.

    Args:
        hidden: hidden size of the encoder.
        layers: layers of the encoder.

    Raises:
        ConfigError: it is larger.
    """
    size = least_size(spec, hidden, layers)
    if size > LARGEST:
        raise ConfigError(
            f"an adapter of '{spec.name}' has {size:,} parameters or more on {layers} layers of width "
            f"{hidden}, at most {LARGEST:,} are allowed: use a smaller r, prefix_length or bottleneck_size, "
            "or a larger reduction_factor"
        )


def check_room(spec: AdapterSpec, held: int, hidden: int, layers: int, what: object) -> None:
    """Refuses an adapter whose configuration describes more than its file holds.

    Args:
        held: how many numbers the file holds.
        what: names the adapter in the message.

    Raises:
        AdapterError: its tensors are smaller than its configuration says.
    """
    size = least_size(spec, hidden, layers)
    if size > max(2 * held, SMALL):  # what differs less is built and then named tensor by tensor
        raise AdapterError(
            f"{what}: its configuration describes {size:,} parameters or more, but its file holds {held:,}: "
            "they do not belong together"
        )


def least_size(spec: AdapterSpec, hidden: int, layers: int) -> int:
    """A lower bound of the number of parameters, near the true one for large adapters."""
    return sum(_least(part, hidden, layers) for part in spec.parts.values())


def _least(part: Part, hidden: int, layers: int) -> int:
    used = [layer for layer in range(layers) if layer not in set(part.leave_out)]
    match part:
        case Lora():
            attention = len(set(part.attn_matrices)) if part.selfattn_lora else 0
            if part.composition_mode == "scale":  # one vector for each place
                return len(used) * attention * hidden
            others = part.intermediate_lora + part.output_lora  # the one side that is of the hidden size
            return len(used) * part.r * hidden * (2 * attention + others)
        case Prefix() if used:
            prefix = part.prefix_length * hidden
            return 2 * prefix if part.flat else prefix + part.bottleneck_size * hidden * (1 + 2 * len(used))
        case Bottleneck():
            places = part.mh_adapter + part.output_adapter
            return places * sum(_projections(part, layer, hidden) for layer in used) + _invertible(
                part, hidden
            )
    return 0


def _projections(part: Bottleneck, layer: int, hidden: int) -> int:
    """The parameters of the projection down and the one up."""
    width = bottleneck_width(part, layer, hidden)
    if part.phm_layer:  # products of small matrices (Mahabadi et al. 2021)
        return 2 * (hidden + width) * part.phm_rank if width else 0
    return 2 * width * hidden


def bottleneck_width(part: Bottleneck, layer: int, hidden: int) -> int:
    """The width of a bottleneck; 0 where a map of reduction factors does not name the layer."""
    factor = part.reduction_factor
    if isinstance(factor, dict):
        factor = factor.get(str(layer), factor.get("default", 0.0))
    return max(int(hidden // factor), 1) if factor else 0


def _invertible(part: Bottleneck, hidden: int) -> int:
    """The parameters of the two small networks on halves of the embedding."""
    if not part.inv_adapter or not part.inv_adapter_reduction_factor:
        return 0
    half = hidden // 2
    return 4 * half * int(half // part.inv_adapter_reduction_factor)
