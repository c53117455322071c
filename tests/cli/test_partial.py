"""Evaluations of which a part cannot be scored: hidden labels, a broken file beside good ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapterstilts import Options, evaluate, submit, train_adapter
from adapterstilts.cli.app import app
from adapterstilts.errors import DataError
from adapterstilts.store import Run, Store, read_predictions

LABELLED = "a dog\ta cat\tneutral\nthe man\tthe woman\tentailment\n"
HIDDEN = "a dog\ta cat\nthe man\tthe woman\n"


@pytest.fixture(scope="module")
def options(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Options:
    store = tmp_path_factory.mktemp("runs")
    hyperparameters = {"max_steps": 1, "batch_size": 8}
    return Options(backbone=str(tiny_backbone), store=store, hyperparameters=hyperparameters, limit=40)


@pytest.fixture(scope="module")
def nli(options: Options) -> Run:
    return train_adapter("mini_nli", options)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "xnli").mkdir(parents=True)
    return tmp_path / "data"


def write(data: Path, **files: str) -> None:
    for name, text in files.items():
        (data / "xnli" / f"{name.replace('_', '-')}.tsv").write_text(text, encoding="utf-8")


@pytest.fixture
def call(options: Options, nli: Run, data: Path) -> Callable[..., Result]:
    def run(*words: str, code: int = 0) -> Result:
        places = ("--store", str(options.store), "--backbone", options.backbone, "--data-dir", str(data))
        found = CliRunner().invoke(app, ["evaluate", nli.id, *words, *places], env={"COLUMNS": "200"})
        assert found.exit_code == code, (found.output, found.exception)
        return found

    return run


def test_hidden_labels_are_predicted_for_and_not_scored(call, options, data):
    write(data, test_de=HIDDEN, test_fr=HIDDEN, test_en=LABELLED)
    found = json.loads(call("--task", "xnli", "--split", "test", "--json").stdout)[0]
    assert found["languages"].keys() == {"de", "en", "fr"}
    german = found["languages"]["de"]
    assert (german["score"], german["labels"], german["examples"]) == (None, "hidden", 2)
    assert (found["mean_of_others"], found["transfer_gap"]) == (None, None)
    assert found["languages"]["en"]["score"] is not None
    run = Store(options.store).find(german["run"])
    assert len(read_predictions(run.file("predictions.parquet"))) == 2
    origin = json.loads(run.file("origin.json").read_text())["data"]
    assert (origin["labels"], origin["reason"].partition(": ")[2][:11]) == ("hidden", "two columns")
    printed = call("--task", "xnli", "--split", "test")
    assert "xnli in de: no labels: " in printed.stderr
    assert "xnli in en" not in printed.stderr
    shown = printed.stdout
    assert [line.split()[1] for line in shown.splitlines() if "no labels" in line] == ["de", "fr"]
    assert "mean without en" not in shown
    listed = CliRunner().invoke(app, ["runs", "--store", str(options.store)])
    assert listed.exit_code == 0 and run.id in listed.stdout


def test_a_file_is_not_scored_in_a_language_that_its_name_may_not_mean(call, data, tmp_path):
    for name in ("es_pairs.tsv", "es-en-dev.tsv", "pairs.tsv"):
        (tmp_path / name).write_text(LABELLED, encoding="utf-8")
        failed = call("--task", "xnli", "--eval-file", str(tmp_path / name), code=2)
        assert "cannot infer the language from the file name: pass --languages CODE" in failed.stderr
        found = json.loads(
            call("--task", "xnli", "--eval-file", str(tmp_path / name), "--languages", "es", "--json").stdout
        )
        assert list(found[0]["languages"]) == ["es"]


def test_another_name_for_the_label_fails_that_language_alone(call, data, tmp_path):
    for code, label in (("de", "label"), ("fr", "gold")):
        text = f"premise\thypothesis\t{label}\na dog\ta cat\tneutral\n"
        (tmp_path / f"gold-{code}.tsv").write_text(text, encoding="utf-8")
    failed = call("--task", "xnli", "--eval-file", str(tmp_path / "gold-{lang}.tsv"), "--json", code=2)
    (found,) = json.loads(failed.stdout)
    assert (list(found["languages"]), list(found["failures"])) == (["de"], ["fr"])
    assert "line 2: no column 'label' for the label" in found["failures"]["fr"]


def test_a_slice_beyond_the_end_of_one_language_is_said_and_kept(call, options, data, tmp_path):
    for code, times in (("de", 1), ("en", 2)):
        (tmp_path / f"own-{code}.tsv").write_text(LABELLED * times, encoding="utf-8")
    printed = call("--task", "xnli", "--eval-file", f"{tmp_path}/own-{{lang}}.tsv#1-4", "--json")
    assert "rows 1-4 were requested, but the file ends at row 2" in printed.stderr
    languages = json.loads(printed.stdout)[0]["languages"]
    assert (languages["de"]["examples"], languages["en"]["examples"]) == (2, 4)
    run = Store(options.store).find(languages["de"]["run"])
    assert "ends at row 2" in json.loads(run.file("origin.json").read_text())["data"]["ended"]


def test_labelled_data_goes_before_hidden(call, data):
    write(data, test_de=HIDDEN, test_fr=HIDDEN, dev_de=LABELLED)
    found = json.loads(call("--task", "xnli", "--json").stdout)[0]
    assert (found["split"], list(found["languages"])) == ("dev", ["de"])
    (data / "xnli" / "dev-de.tsv").unlink()
    found = json.loads(call("--task", "xnli", "--json").stdout)[0]
    assert (found["split"], list(found["languages"])) == ("test", ["de", "fr"])


def test_hidden_labels_are_refused_for_training(options, data):
    write(data, hidden=HIDDEN)
    with pytest.raises(DataError, match="two columns"):
        train_adapter("mnli", options.model_copy(update={"train_file": str(data / "xnli" / "hidden.tsv")}))


def test_predictions_without_labels_can_be_submitted(options, nli, data, tmp_path):
    write(data, test_de=HIDDEN)
    told = options.model_copy(update={"data_dir": data, "limit": None})
    evaluate(nli.id, "xnli", ["de"], told)
    made = submit([nli.id], tmp_path / "out", ["xnli"], partial=True, options=told)
    german = {file.language: file for file in made.files}["de"]
    assert (german.rows, german.checked) == (2, True)
    assert len((tmp_path / "out/xnli/test-de.tsv").read_text().splitlines()) == 2


def test_what_can_be_evaluated_is_and_the_rest_is_named(call, data):
    write(data, test_de=LABELLED, test_fr="a\tb\tnonsense\n", test_es=LABELLED)
    asked = ("--task", "xnli", "--languages", "de,fr,es,sw")
    shown = call(*asked, code=2)
    assert [line.split()[1] for line in shown.stdout.splitlines() if "[" in line] == ["de", "es"]
    said = " ".join(shown.stderr.split())
    assert "xnli in fr: " in said and "line 1: label 'nonsense'" in said
    assert "xnli in sw: no test data of xnli in 'sw' found" in said
    found = json.loads(call(*asked, "--json", code=2).stdout)[0]
    assert (list(found["languages"]), list(found["failures"])) == (["de", "es"], ["fr", "sw"])


def test_nothing_to_show_is_one_error(call, data):
    write(data, test_de="a\tb\tnonsense\n", test_fr="a\tb\tnothing\n")
    shown = call("--task", "xnli", "--languages", "de,fr", code=2)
    assert shown.stdout == ""
    assert "xnli de: " in shown.stderr and "xnli fr: " in shown.stderr and "'nothing'" in shown.stderr
    assert "xnli de" not in call("--task", "xnli", "--languages", "de", code=2).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--languages", "de,xx"], "unknown language of xnli 'xx'"),
        (["--languages", "de,,fr"], "--languages wants names with commas between"),
        (["--encoding", "word=written"], "did you mean 'words'"),
        (["--encoding", "words=written"], "encoding: words has an effect on tagging tasks only"),
        (["--encoding", "layer=2"], "layer has an effect on retrieval and mining tasks only"),
    ],
)
def test_what_is_known_to_be_wrong_ends_at_once(call, data, words, message):
    write(data, test_de=LABELLED, test_fr=LABELLED)
    shown = call("--task", "xnli", *words, code=2)
    assert message in " ".join(shown.stderr.split())
    assert shown.stdout == ""
