"""A task of one's own, from the YAML file to predictions; and the leak guard as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Call

MINE = """\
name: moods
kind: sequence
labels: [good, bad]
languages: [en, de]
format: tsv
files: {train: train.tsv, test: "test-{lang}.tsv"}
columns: {first: text, label: class}
"""
QUICK = ("--max-steps", "2", "--batch-size", "4", "--holdout", "0")


@pytest.fixture
def own(call: Call, tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The definition's file; the tests use the store and the backbone of the environment."""
    monkeypatch.setenv("ADAPTERSTILTS_BACKBONE", str(tiny_backbone))
    monkeypatch.setenv("ADAPTERSTILTS_STORE", str(tmp_path / "runs"))
    folder = tmp_path / "own"
    folder.mkdir()
    for name, start in (("train", 0), ("test-en", 12), ("test-de", 24)):
        rows = [f"text number {n} is here\t{('good', 'bad')[n % 2]}" for n in range(start, start + 12)]
        (folder / f"{name}.tsv").write_text("\n".join(["text\tclass", *rows]) + "\n", encoding="utf-8")
    (folder / "moods.yaml").write_text(MINE, encoding="utf-8")
    return folder / "moods.yaml"


def trained(call: Call, *words: str) -> str:
    return str(json.loads(call(*words, *QUICK, "--json").stdout)["id"])


def test_a_run_remembers_its_task(call: Call, own: Path) -> None:
    run = trained(call, "train-adapter", str(own))
    assert run.startswith("single-moods-")
    assert trained(call, "baseline", str(own)) == run
    built = trained(call, "sequential", str(own), run)
    own.rename(own.with_name("gone.txt"))
    for each in (run, built):
        (found,) = json.loads(call("evaluate", each, "--json").stdout)
        assert (found["task"], list(found["languages"]), found["leaks"]) == ("moods", ["en", "de"], {})
    (by_name,) = json.loads(call("evaluate", run, "--task", "moods", "--languages", "de", "--json").stdout)
    assert (
        by_name["languages"]["de"] == json.loads(call("evaluate", run, "--json").stdout)[0]["languages"]["de"]
    )
    assert json.loads(call("predict", run, "a text").stdout)["label"] in ("good", "bad")
    assert {each["task"] for each in json.loads(call("runs", "--json").stdout)} == {"moods"}
    assert trained(call, "sequential", "mini_nli", run).startswith("sequential-mini_nli-")


def test_another_definition_under_the_same_name_is_another_task(call: Call, own: Path) -> None:
    first = trained(call, "train-adapter", str(own))
    own.write_text(MINE.replace("[good, bad]", "[bad, good]"), encoding="utf-8")
    second = trained(call, "train-adapter", str(own))
    assert first != second
    found = call("evaluate", first, "--task", str(own), code=2)
    assert "has no head for moods" in found.stderr


def test_a_definition_in_a_file_that_is_not_there(call: Call) -> None:
    assert "nowhere.yaml: cannot be read" in call("train-adapter", "nowhere.yaml", code=2).stderr


def test_trained_items_are_refused_unless_one_insists(call: Call, own: Path) -> None:
    run = trained(call, "train-adapter", str(own))
    again = ("evaluate", run, "--eval-file", str(own.parent / "train.tsv"), "--languages", "en")
    refused = call(*again, code=2)
    assert "12 of the 12 items of moods in 'en' were trained on" in refused.stderr
    assert "--allow-leak" in refused.stderr
    assert "en: 12 of 12 items were trained on" in call(*again, "--allow-leak").stdout
    (found,) = json.loads(call(*again, "--allow-leak", "--json").stdout)
    assert found["leaks"]["en"]["items"] == found["languages"]["en"]["leaked"] == 12


@pytest.mark.slow
def test_sick_trains_and_answers_xnli(call: Call, own: Path, shared_data: Path) -> None:
    """One YAML file and no Python: SICK's labels are XNLI's, so the same head answers both."""
    sick = str(Path(__file__).parents[2] / "examples" / "sick.yaml")
    data = ("--data-dir", str(shared_data))
    run = trained(call, "train-adapter", sick, *data)
    (dev,) = json.loads(call("evaluate", run, *data, "--limit", "50", "--json").stdout)
    assert (dev["task"], dev["split"], list(dev["languages"])) == ("sick", "dev", ["en"])
    xnli = ("--task", "xnli", "--eval-file", "xnli/dev-{lang}.tsv", "--limit", "50")
    (found,) = json.loads(call("evaluate", run, *xnli, "--languages", "en,sw", *data, "--json").stdout)
    assert list(found["languages"]) == ["en", "sw"]
    assert found["leaks"] == {}
