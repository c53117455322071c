"""Hyperparameters of any size: each is taken or refused, and what is taken can be computed with."""

from __future__ import annotations

import math

import pytest

from adapterstilts import TrainingOptions
from adapterstilts.errors import ConfigError
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.kinds.registry import check_encoding
from adapterstilts.kinds.spec import SPECS

HUGE = 10**99
NUMBERS = [
    name
    for name, field in Hyperparameters.model_fields.items()
    if name not in ("precision", "backbone_dropout")
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [HUGE, 1e308, -HUGE, -1e308, math.inf, math.nan])
def test_a_number_that_nobody_means_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"hyperparameters: {name}"):
        Hyperparameters.parse({name: value}, "hyperparameters")


@pytest.mark.parametrize("name", ["max_length", "stride", "n_best", "max_answer", "layer", "neighbours"])
def test_so_is_one_of_an_encoding(name: str) -> None:
    with pytest.raises(ConfigError, match=f"encoding: {name}"):
        check_encoding(SPECS, {name: HUGE})


def test_so_is_one_of_the_options() -> None:
    for name in ("limit", "seed"):
        with pytest.raises(ConfigError, match=name):
            TrainingOptions.parse({name: HUGE}, "option")
