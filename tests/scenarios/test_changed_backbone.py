"""A backbone's folder that changed: nothing that was trained on the old files counts for the new ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from adapterstilts import TrainingOptions, evaluate, train_adapter
from adapterstilts.errors import AdapterError
from adapterstilts.store import Run

RECIPE = {"max_steps": 1, "batch_size": 4}


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_the_tokenizers_settings_alone_make_it_another_backbone(tiny_backbone: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "a folder"))

    def train() -> Run:
        options = TrainingOptions(
            store=tmp_path / "runs", backbone=str(folder), limit=8, hyperparameters=RECIPE, source="bundled",
        )  # fmt: skip
        return train_adapter("mini_nli", options)

    first = train()
    assert train().id == first.id
    change(folder / "tokenizer_config.json", do_lower_case=True)
    second = train()
    assert (second.id, second.key) != (first.id, first.key)
    assert second.job.backbone != first.job.backbone
    with pytest.raises(
        AdapterError,
        match=r"trained on the backbone in .*a folder, which has changed since: its configuration or its "
        r"tokenizer.s files\. Restore the files, or retrain the adapter",
    ):
        evaluate(first.id, options=TrainingOptions(store=tmp_path / "runs"))
