"""What compositions refuse before anything is loaded."""

from __future__ import annotations

import pytest

from adapterstilts import composition
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.model import compatibility
from tests.model.conftest import spec_of

NAMES = ("seq_bn", "double_seq_bn", "par_bn", "seq_bn_inv", "lora", "ia3", "prefix", "compacter", "unipelt")


def refused(kind: composition.CompositionName, sources: list[str], **others: str) -> bool:
    join = composition.make(kind, tuple(f"{name}{n}" for n, name in enumerate(sources)))
    try:
        compatibility.check_composition(
            join, [spec_of(name) for name in sources], **{key: spec_of(name) for key, name in others.items()}
        )
    except AdapterError as error:
        message = str(error)
    else:
        return False
    assert "use" in message  # every refusal says what works instead
    return True


def test_what_can_be_fused() -> None:
    assert {n for n in NAMES if not refused("fuse", [n, n])} == {"seq_bn", "double_seq_bn", "compacter"}


def test_adapters_in_different_places_cannot_be_fused() -> None:
    with pytest.raises(AdapterError, match="same places"):
        compatibility.check_fuse([spec_of("seq_bn"), spec_of("double_seq_bn")])
    with pytest.raises(AdapterError, match="same places"):
        compatibility.check_fuse([spec_of("seq_bn"), spec_of("seq_bn", leave_out=[0])])
    compatibility.check_fuse([spec_of("seq_bn"), spec_of("seq_bn", reduction_factor=2)])


def test_what_can_be_averaged() -> None:
    mean = {n for n in NAMES if not refused("average", [n, n])}
    assert mean == {"seq_bn", "double_seq_bn", "par_bn", "seq_bn_inv", "lora", "ia3"}


def test_what_can_be_stacked_over_itself() -> None:
    stacked = {n for n in NAMES if not refused("stack", [n], target=n)}
    assert stacked == {"seq_bn", "double_seq_bn", "ia3", "prefix", "compacter"}


def test_a_lora_over_a_bottleneck_is_fine_but_not_over_a_scale() -> None:
    assert not refused("stack", ["seq_bn"], target="lora")
    assert refused("stack", ["ia3"], target="lora")


def test_every_adapter_but_parallel_and_invertible_lies_over_a_language_adapter() -> None:
    over = {n for n in NAMES if not refused("single", [], target=n, language="seq_bn_inv")}
    assert over == set(NAMES) - {"par_bn", "seq_bn_inv"}


def test_a_warm_start_needs_the_same_configuration() -> None:
    assert not refused("sequential", ["unipelt"], target="unipelt")
    assert refused("sequential", ["seq_bn"], target="double_seq_bn")
    with pytest.raises(AdapterError, match="differ in dropout"):
        compatibility.check_warm_start([spec_of("seq_bn"), spec_of("seq_bn", dropout=0.1)])


def test_layers_that_the_encoder_does_not_have() -> None:
    spec_of("seq_bn", leave_out=[1]).check_layers(2)
    for settings in ({"leave_out": [2]}, {"reduction_factor": {"2": 4, "default": 2}}):
        with pytest.raises(ConfigError, match="layers 0 to 1"):
            spec_of("seq_bn", **settings).check_layers(2)
