"""Small grids on bundled data with the tiny encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterstilts.grid.availability import DataSearch, build_plan
from adapterstilts.grid.config import load_config
from adapterstilts.grid.plan import Plan

Write = Callable[..., Path]

SMALL: dict[str, Any] = {
    "intermediate": ["mini_nli", "mini_qa"],
    "compositions": ["sequential"],
    "targets": ["mini_paraphrase", "mini_retrieval"],
    "languages": ["en", "de", "sw"],
    "source": "bundled",
    "limits": {"train": 32, "eval": 12},
    "hyperparameters": {"max_steps": 4, "batch_size": 8, "eval_every": 100, "dev_rows": 8},
}


@pytest.fixture
def write(tmp_path: Path, tiny_backbone: Path) -> Write:
    """Writes a grid config like `SMALL` with changes; None removes a key."""

    def run(name: str = "small", **changes: Any) -> Path:
        data = {"backbones": str(tiny_backbone), **SMALL, **changes}
        path = tmp_path / f"{name}.yaml"
        settings = {key: value for key, value in data.items() if value is not None}
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return path

    return run


def plan_of(path: Path) -> Plan:
    """Returns the plan of a grid config."""
    return build_plan(load_config(str(path)), DataSearch())
