"""What holds in each precision, and which precision `auto` stands for, whatever CPU the tests run on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from adapterstilts import TrainingOptions, evaluate, predict, train_adapter
from adapterstilts.data.rows import PairRow
from adapterstilts.errors import ConfigError
from adapterstilts.run.device import autocast, computes_bf16, resolve_precision
from adapterstilts.store import Run

BF16_STEP = 2.0**-8  # bf16 keeps 8 bits of a number: the relative error of one rounding
ROWS = [
    PairRow("1", "the cat saw a dog", "a dog is big", None),
    PairRow("2", "Anna took the train", "no", None),
]


@pytest.fixture(scope="module")
def options(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    hyperparameters = {"max_steps": 12, "batch_size": 8, "dev_rows": 30}
    store = tmp_path_factory.mktemp("precision") / "runs"
    return TrainingOptions(
        backbone=str(tiny_backbone), store=store, source="bundled", limit=96, hyperparameters=hyperparameters
    )


def in_precision(options: TrainingOptions, precision: str) -> TrainingOptions:
    return options.model_copy(update={"hyperparameters": {**options.hyperparameters, "precision": precision}})


@pytest.fixture(scope="module")
def runs(options: TrainingOptions) -> dict[str, Run]:
    return {name: train_adapter("mini_nli", in_precision(options, name)) for name in ("fp32", "bf16")}


def test_auto_is_bf16_exactly_where_the_cpu_computes_it(cpu_bf16: bool) -> None:
    assert computes_bf16(torch.device("cpu")) == cpu_bf16
    assert resolve_precision("auto") == ("bf16" if cpu_bf16 else "fp32")
    assert [resolve_precision(name) for name in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_an_override_that_is_neither_on_nor_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERSTILTS_CPU_BF16", "yes")
    with pytest.raises(ConfigError, match='ADAPTERSTILTS_CPU_BF16 is "yes": set it to "on" or "off"'):
        computes_bf16(torch.device("cpu"))


def test_without_an_override_the_cpu_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADAPTERSTILTS_CPU_BF16", raising=False)
    for flags, answer in (({}, False), ({"avx512_bf16": True}, True), ({"bf16": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert computes_bf16(torch.device("cpu")) == answer


def test_a_run_and_an_evaluation_say_what_they_were_computed_in(
    cpu_bf16: bool, options: TrainingOptions
) -> None:
    auto = train_adapter("mini_nli", options)
    precision = "bf16" if cpu_bf16 else "fp32"
    assert auto.precision == precision
    assert evaluate(auto.id, "mini_nli", ["de"], options)[0].runs["de"].precision == precision


def test_both_precisions_learn_the_same(runs: dict[str, Run]) -> None:
    """Each of the 12 steps rounds anew, so that their errors add up."""
    losses = {
        name: [
            json.loads(line)["loss"]
            for line in run.file("log.jsonl").read_text().splitlines()
            if "loss" in line
        ]
        for name, run in runs.items()
    }
    assert runs["fp32"].key != runs["bf16"].key
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=12 * BF16_STEP)


def test_both_precisions_predict_the_same(runs: dict[str, Run], options: TrainingOptions) -> None:
    """The operations of two layers and a head lie between a text and its probabilities, some 20 in a row."""
    exact, rounded = (
        predict(runs["fp32"].id, ROWS, in_precision(options, name)) for name in ("fp32", "bf16")
    )
    for one, other in zip(exact, rounded, strict=True):
        assert other["probabilities"] == pytest.approx(one["probabilities"], abs=20 * BF16_STEP)


def test_autocast_computes_in_bf16_on_any_cpu() -> None:
    layer, values = torch.nn.Linear(8, 8), torch.ones(1, 8)
    with autocast("bf16"):
        assert layer(values).dtype == torch.bfloat16
    with autocast("fp32"):
        assert layer(values).dtype == torch.float32
