"""Which languages are tagged as their sentences are written: settled before the key, said in the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterstilts import TrainingOptions, evaluate, train_adapter
from adapterstilts.cli.evaluate import _as_dict, _print_table
from adapterstilts.store import Run


@pytest.fixture(scope="module")
def options(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    hyperparameters = {"max_steps": 1, "holdout": 0.0, "batch_size": 4}
    store = tmp_path_factory.mktemp("runs")
    return TrainingOptions(backbone=str(tiny_backbone), store=store, hyperparameters=hyperparameters, limit=4)


@pytest.fixture(scope="module")
def run(options: TrainingOptions) -> Run:
    return train_adapter("mini_ner", options)


def words(options: TrainingOptions, run: Run) -> dict[str, str]:
    (found,) = evaluate(run.id, languages=["en", "zh"], options=options)
    return {code: each.job.encoding["words"] for code, each in found.runs.items()}


def test_a_run_trained_word_by_word_tags_chinese_as_it_is_written(options: TrainingOptions, run: Run) -> None:
    assert run.job.encoding["words"] == "separate"
    assert words(options, run) == {"en": "separate", "zh": "written"}
    asked = options.model_copy(update={"encoding": {"words": "separate"}})
    assert words(asked, run) == {"en": "separate", "zh": "separate"}


def test_a_run_trained_on_written_sentences_tags_all_as_they_are_written(options: TrainingOptions) -> None:
    asked = options.model_copy(update={"encoding": {"words": "written"}})
    run = train_adapter("mini_ner", asked)
    assert run.job.encoding["words"] == "written"
    assert words(options, run) == {"en": "written", "zh": "written"}


def test_results_say_which_languages_were(
    options: TrainingOptions, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = evaluate(run.id, languages=["en", "zh"], options=options)
    assert json.loads(json.dumps(_as_dict(found)))["written"] == ["zh"]
    _print_table(found)
    assert "zh: tagged as the sentence is written" in " ".join(capsys.readouterr().out.split())
