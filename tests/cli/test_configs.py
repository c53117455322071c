"""`configs`: every adapter configuration, with its method."""

from __future__ import annotations

import json

from .conftest import Call

METHODS = {
    "seq_bn": "bottleneck",
    "double_seq_bn": "bottleneck",
    "par_bn": "parallel",
    "seq_bn_inv": "invertible",
    "lora": "lora",
    "ia3": "ia3",
    "prefix": "prefix_tuning",
    "compacter": "compacter",
    "unipelt": "union",
}


def test_json_lists_the_configurations_the_default_first(call: Call) -> None:
    found = json.loads(call("configs", "--json").stdout)
    assert {each["name"]: each["method"] for each in found} == METHODS
    assert found[0]["name"] == "seq_bn"
    assert found[0]["config"]["reduction_factor"] == 16


def test_the_table_shows_what_each_sets(call: Call) -> None:
    shown = call("configs").stdout
    (line,) = (line for line in shown.splitlines() if line.startswith("seq_bn "))
    assert "reduction_factor=16" in line
    assert len([line for line in shown.splitlines() if line.split()[0] in METHODS]) == len(METHODS)
