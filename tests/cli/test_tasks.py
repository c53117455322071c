"""`tasks` and `backbones`: tables for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterstilts.tasks.registry import all_tasks

from .conftest import Call


def test_json_lists_every_task_and_nothing_else(call: Call) -> None:
    found = json.loads(call("tasks", "--json").stdout)
    assert [each["name"] for each in found] == list(all_tasks())
    by_name = {each["name"]: each for each in found}
    assert {"name", "role", "kind", "languages"} <= by_name["xnli"].keys()
    assert (by_name["xnli"]["role"], by_name["xnli"]["kind"]) == ("target", "sequence")
    assert by_name["xnli"]["trained_on"] == "mnli"
    assert "sw" in by_name["xnli"]["languages"]
    assert (
        by_name["squad_v1"] | {"role": "intermediate", "kind": "span", "languages": ["en"]}
        == by_name["squad_v1"]
    )


def test_one_task_by_name_or_alias(call: Call) -> None:
    found = json.loads(call("tasks", "show", "squad", "--json").stdout)
    assert (found["name"], found["aliases"]) == ("squad_v1", ["squad"])
    shown = call("tasks", "show", "squad").stdout
    assert "trained on  squad_v1" in shown
    assert found["licence"] in shown
    assert "no data found (--hub asks the Hub)" in shown


def test_the_table_has_a_line_for_each_task(call: Call) -> None:
    lines = call("tasks").stdout.splitlines()
    assert len(lines) == 1 + len(all_tasks())
    assert all(
        name in lines[0] for name in ("name", "role", "kind", "languages", "English training data", "licence")
    )
    assert any(line.split()[:5] == ["xnli", "target", "sequence", "15", "mnli"] for line in lines)


def test_an_unknown_task_names_the_nearest(call: Call) -> None:
    found = call("tasks", "show", "xnlii", code=2)
    assert "did you mean 'xnli'?" in found.stderr
    assert found.stdout == ""
    assert "Traceback" not in found.output


def test_data_at_hand_is_found(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # what the Hub has is not at hand
    nothing = json.loads(call("tasks", "show", "panx", "--json").stdout)
    assert (nothing["available"], nothing["example"]) == ({}, None)
    (tmp_path / "data" / "panx").mkdir(parents=True)
    (tmp_path / "data" / "panx" / "dev-sw.tsv").write_text("sw:Juma\tB-PER\n\n", encoding="utf-8")
    given = json.loads(call("tasks", "show", "panx", "--json", "--data-dir", "data").stdout)
    monkeypatch.setenv("ADAPTERSTILTS_DATA", str(tmp_path / "data"))
    by_variable = json.loads(call("tasks", "show", "panx", "--json").stdout)
    assert given == by_variable
    assert given["available"] == {"dev": ["sw"]}
    example = given["example"]
    assert (example["split"], example["language"], example["from"]) == ("dev", "sw", "panx/dev-sw.tsv")
    assert (example["row"]["tokens"], example["row"]["tags"]) == (["Juma"], ["B-PER"])


def test_an_example_row_of_bundled_data(call: Call) -> None:
    shown = call("tasks", "show", "mini_nli").stdout
    assert "example     train, en, data/mini/nli/train-en.tsv" in shown
    assert '  label     "' in shown


MINE = """\
name: mine
kind: sequence
labels: [good, bad]
languages: [en, de]
format: tsv
files: {train: train.tsv, test: "test-{lang}.tsv"}
columns: {first: text, label: class}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "mine.yaml"
    file.write_text(MINE, encoding="utf-8")
    rows = "text\tclass\nAll is well.\tgood\nIt rains.\tbad\nA day\tgood\n"
    (tmp_path / "own" / "train.tsv").write_text(rows, encoding="utf-8")
    (tmp_path / "own" / "test-en.tsv").write_text("text\tclass\nit  RAINS.\tbad\n", encoding="utf-8")
    (tmp_path / "own" / "test-de.tsv").write_text("text\tclass\nEs regnet.\tbad\n", encoding="utf-8")
    return file


def test_check_reports_what_it_found(call: Call, mine: Path) -> None:
    found = json.loads(call("tasks", "check", str(mine), "--json").stdout)
    train, english, german = found["splits"]
    assert (found["task"], found["problem"]) == ("mine", None)
    assert (train["split"], train["language"], train["rows"], train["from"]) == (
        "train",
        "en",
        3,
        "train.tsv",
    )
    assert (train["labels"], train["words"], train["characters"]) == (
        {"good": 2, "bad": 1},
        [2, 2, 3],
        [5, 9, 12],
    )
    assert (english["language"], english["trained"], german["language"], german["trained"]) == (
        "en",
        1,
        "de",
        0,
    )
    shown = call("tasks", "check", str(mine))
    assert "good 2, bad 1" in shown.stdout
    assert "no problem found" in shown.stderr


def test_check_names_the_first_problem_and_shows_what_came_before(call: Call, mine: Path) -> None:
    (mine.parent / "test-de.tsv").write_text("text\tclass\nEs regnet.\tbadd\n", encoding="utf-8")
    found = call("tasks", "check", str(mine), code=2)
    assert "test-de.tsv, line 2: label 'badd' is not one of mine's: good, bad" in found.stderr
    assert "train.tsv" in found.stdout
    (mine.parent / "train.tsv").unlink()
    assert "no train data of mine in 'en' found" in call("tasks", "check", str(mine), code=2).stderr
    mine.write_text(MINE.replace("labels", "lables"), encoding="utf-8")
    assert "line 3: unknown task key 'lables'" in call("tasks", "check", str(mine), code=2).stderr


def test_check_reads_the_tasks_of_the_package_too(call: Call) -> None:
    found = json.loads(call("tasks", "check", "mini_ner", "--json").stdout)
    assert [report["split"] for report in found["splits"]] == ["train", "dev"] + ["test"] * 10
    assert {report["trained"] for report in found["splits"]} == {0}
    assert "no dev data of xnli" in call("tasks", "check", "xnli", code=2).stderr


def test_check_reads_a_mixture(call: Call, tmp_path: Path) -> None:
    pair = {"premise": "p", "hypothesis": "h", "label": "neutral"}
    for split, ending in (("train", "train"), ("dev", "dev_matched")):
        files = [f"anli/R{n}/{split}.jsonl" for n in (1, 2, 3)]
        for name in (*files, f"snli/snli_1.0_{split}.jsonl", f"mnli/multinli_1.0_{ending}.jsonl"):
            (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).write_text(json.dumps(pair) + "\n", encoding="utf-8")
    found = json.loads(call("tasks", "check", "anli_plus", "--data-dir", "data", "--json").stdout)["splits"]
    assert [(each["split"], each["rows"]) for each in found] == [("train", 5), ("dev", 5)]
    assert found[1]["from"].endswith("mnli/multinli_1.0_dev_matched.jsonl + snli/snli_1.0_dev.jsonl")


def test_check_shows_a_test_file_without_labels(call: Call, mine: Path) -> None:
    (mine.parent / "test-de.tsv").write_text("text\tclass\nEs regnet.\t\n", encoding="utf-8")
    german = json.loads(call("tasks", "check", str(mine), "--json").stdout)["splits"][2]
    assert (german["language"], german["hidden"], german["labels"]) == ("de", True, {})
    printed = call("tasks", "check", str(mine))
    assert "hidden" in printed.stdout
    assert "test de: no labels: " in printed.stderr
    assert "test-de.tsv, line 2: no label" in printed.stderr


def test_a_data_folder_that_is_not_there_is_an_error(call: Call) -> None:
    assert "nowhere" in call("tasks", "show", "panx", "--data-dir", "nowhere", code=2).stderr


def test_backbones_as_json_and_as_a_table(call: Call) -> None:
    found = {each["name"]: each for each in json.loads(call("backbones", "--json").stdout)}
    assert set(found) == {"mbert", "xlmr-base", "xlmr-large", "me5-small"}
    assert (found["me5-small"]["hidden_size"], found["me5-small"]["embedded"]) == (384, True)
    shown = call("backbones").stdout
    assert all(each["repo"] in shown for each in found.values())


def test_check_says_which_records_are_no_examples(call: Call, tmp_path: Path) -> None:
    definition = "name: own\nkind: sequence\nlabels: [x, y]\nformat: pair\nfiles: {train: train.tsv}\n"
    (tmp_path / "own.yaml").write_text(definition, encoding="utf-8")
    (tmp_path / "train.tsv").write_text("a\tb\tx\nc\td\t-\n", encoding="utf-8")
    printed = call("tasks", "check", "own.yaml")
    assert "train en: skipped 1 records that are not examples" in printed.stderr
