"""Targets that ask for more than one evaluation or one training: mining's threshold, SQuAD's three, COPA."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterstilts import EvaluationOptions, TrainingOptions, compose, evaluate, train_adapter
from adapterstilts.composition import Sequential
from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.store import Run, Store

Make = Callable[..., TrainingOptions]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with small files of BUCC, XQuAD, COPA, XCOPA and Social IQa."""
    folder = tmp_path_factory.mktemp("download")
    for name in ("bucc2018", "xquad", "xcopa", "siqa", "squad"):
        (folder / name).mkdir()
    for split, words in (
        ("dev", "dog cat man woman city river"),
        ("test", "house book train bread green red"),
    ):
        for ending, lines in {
            "de": [f"de-{n}\tthe {word} ." for n, word in enumerate(words.split())],
            "en": [f"en-{n}\tthe {word} ." for n, word in enumerate(words.split())],
            "gold": [f"de-{n}\ten-{n}" for n in range(4)],
        }.items():
            (folder / "bucc2018" / f"de-en.{split}.{ending}").write_text("\n".join(lines), encoding="utf-8")
    answer = {"text": "a dog", "answer_start": 8}
    question = {"id": "q1", "question": "what did Tom saw ?", "answers": [answer]}
    paragraph = {"context": "Tom saw a dog. It was red.", "qas": [question]}
    text = json.dumps({"data": [{"paragraphs": [paragraph]}]})
    for name in ("xquad/xquad.de.json", "xquad/xquad.en.json", "squad/train-v1.1.json"):
        (folder / name).write_text(text, encoding="utf-8")
    choice = {"choice1": "it was red", "choice2": "it was big", "question": "cause"}
    for name in ("train-en", "val-en", "test-sw"):
        lines = [{**choice, "premise": f"{name} {n}", "label": n % 2, "idx": n} for n in range(8)]
        (folder / "xcopa" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    asked = {"context": "Tom saw a dog", "question": "what ?", "answerA": "a", "answerB": "b", "answerC": "c"}
    siqa = "\n".join(json.dumps({**asked, "correct": "ABC"[n % 3]}) for n in range(9))
    (folder / "siqa" / "socialIQa_v1.4_trn.jsonl").write_text(siqa, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def options(tiny_backbone: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    hyperparameters = {"max_steps": 1, "holdout": 0.0, "batch_size": 4}
    store = tmp_path_factory.mktemp("runs")
    return TrainingOptions(
        backbone=str(tiny_backbone),
        store=store,
        data_dir=data,
        hyperparameters=hyperparameters,
        source="folder",
    )


@pytest.fixture(scope="module")
def squad(options: TrainingOptions) -> Run:
    return train_adapter("squad", options)


def told(options: TrainingOptions, **more: Any) -> Any:
    """Training options with changes, or evaluation options where the changes are about evaluation."""
    evaluated = {"eval_file", "allow_leak"} & more.keys()
    return (EvaluationOptions.of(options) if evaluated else options).model_copy(update=more)


def test_the_threshold_of_the_test_is_the_one_of_development_data(
    options: TrainingOptions, squad: Run
) -> None:
    (test,) = evaluate(squad.id, "bucc2018", ["de"], options, "test")
    (dev,) = evaluate(squad.id, "bucc2018", ["de"], options, "dev")
    threshold = dev.runs["de"].metrics["threshold"]
    assert dev.runs["de"].job.encoding["threshold"] is None
    assert test.runs["de"].job.encoding["threshold"] == threshold
    assert test.runs["de"].metrics["threshold"] == threshold
    assert {"f1", "precision", "recall", "low", "high"} <= set(test.runs["de"].metrics)
    kept = [run for run in Store(options.store).scan() if run.job.task == "bucc2018"]
    assert len(kept) == 2  # the development data is evaluated once


def test_a_threshold_may_be_given_and_is_wanted_without_development_data(
    options: TrainingOptions, squad: Run, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "bucc2018").mkdir()
    for file in (data / "bucc2018").glob("*.test.*"):
        (tmp_path / "bucc2018" / file.name).write_bytes(file.read_bytes())
    alone = told(options, data_dir=tmp_path)
    with pytest.raises(
        MissingDataError,
        match=r"bucc2018 chooses its mining threshold on development data .*--encoding threshold",
    ):
        evaluate(squad.id, "bucc2018", ["de"], alone)
    given = told(alone, encoding={"threshold": 0.5})
    assert evaluate(squad.id, "bucc2018", ["de"], given)[0].runs["de"].metrics["threshold"] == 0.5


def test_a_run_is_evaluated_on_all_its_targets_at_hand(
    options: TrainingOptions, squad: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = told(options, allow_leak=True)
    found = evaluate(squad.id, options=quiet)
    assert [(each.task, set(each.runs)) for each in found] == [
        ("xquad", {"en", "de"}), ("lareqa", {"en", "de"}),
    ]  # fmt: skip
    assert found[1].metric == "map20"
    assert found[1].runs["de"].metrics["examples"] == 1
    assert "skipped mlqa: no data found" in capsys.readouterr().err
    assert [each.task for each in evaluate(squad.id, languages=["de"], options=quiet)] == ["xquad", "lareqa"]
    with pytest.raises(ConfigError, match="unknown language of xquad 'xx'"):
        evaluate(squad.id, languages=["xx"], options=quiet)


def test_an_explicit_file_is_of_one_target(options: TrainingOptions, squad: Run) -> None:
    found = evaluate(squad.id, options=told(options, eval_file="xquad/xquad.{lang}.json", allow_leak=True))
    assert [each.task for each in found] == ["xquad"]


def test_social_iqa_then_copa_then_xcopa(options: TrainingOptions) -> None:
    siqa = train_adapter("siqa", options)
    copa = compose("copa", Sequential(siqa.id), options)
    assert copa.job.task == "copa"
    for each in (siqa, copa):
        found = evaluate(each.id, languages=["sw"], options=options)
        assert [one.task for one in found] == ["xcopa"]
        assert evaluate(each.id, "xcopa", ["sw"], options)[0].runs["sw"].id == found[0].runs["sw"].id
