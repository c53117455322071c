"""`runs`: lists, shows and removes; damaged runs are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterstilts import Options
from adapterstilts.cli.evaluate import _note_effect
from adapterstilts.store import Store
from tests.store.conftest import eval_job, publish, train_job

from .conftest import Call


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The store that the program uses by default, since it runs in `tmp_path`."""
    return Store(tmp_path / "checkpoints")


def test_an_empty_store_says_what_to_do(call: Call) -> None:
    found = call("runs")
    assert "no runs in checkpoints" in found.stderr
    assert json.loads(call("runs", "--json").stdout) == []


def test_the_list_has_runs_and_evaluations(call: Call, store: Store) -> None:
    trained = publish(store, train_job(seed=3), score=71.5)
    evaluated = publish(store, eval_job(trained.key, "sw"), score=43.21)
    found = {each["id"]: each for each in json.loads(call("runs", "--json").stdout)}
    assert found.keys() == {trained.id, evaluated.id}
    sw = found[evaluated.id]
    assert (sw["task"], sw["language"], sw["composition"], sw["seed"]) == ("xnli", "sw", "single", 3)
    assert (sw["score"], sw["sources"], sw["damaged"]) == (43.21, [trained.key], None)
    assert found[trained.id]["size"] == trained.size
    shown = call("runs").stdout
    (line,) = (line for line in shown.splitlines() if line.startswith(evaluated.id))
    assert line.split()[1:6] == ["xnli", "single", "sw", "3", "43.2"]


def test_damaged_runs_are_listed_apart(call: Call, store: Store) -> None:
    run = publish(store, train_job())
    (run.path / "log.jsonl").write_text("", encoding="utf-8")
    found = call("runs")
    assert f"damaged, not used: {run.id}: log.jsonl has 0 bytes" in found.stderr
    (entry,) = json.loads(call("runs", "--json").stdout)
    assert entry["damaged"].startswith("log.jsonl has 0 bytes")


def test_show_checks_and_shows(call: Call, store: Store) -> None:
    run = publish(store, train_job())
    shown = call("runs", "show", run.id[:14]).stdout
    assert run.id in shown
    assert "adapters/a/weights.bin" in shown
    assert json.loads(call("runs", "show", run.key[:6], "--json").stdout)["job"]["task"] == "mnli"
    weights = run.file("adapters/a/weights.bin")
    weights.write_bytes(bytes(1024))
    found = call("runs", "show", run.id, code=2)
    assert "adapters/a/weights.bin has another SHA-256" in found.stderr


def test_remove_asks(call: Call, store: Store) -> None:
    run = publish(store, train_job())
    publish(store, eval_job(run.key, "sw"))
    asked = call("runs", "rm", run.id, code=1, given="n\n")
    assert f"Remove {run.id}? 1 other run depends on it." in asked.stderr
    assert store.with_key(run.key) == run
    call("runs", "rm", run.id, given="y\n")
    assert store.with_key(run.key) is None


def test_remove_takes_damaged_runs_without_asking_if_told(call: Call, store: Store) -> None:
    run = publish(store, train_job())
    (run.path / "job.json").unlink()
    assert f"removed {run.id}" in call("runs", "rm", run.id, "--yes").stderr
    assert not run.path.exists()
    assert "no run" in call("runs", "rm", run.id, "--yes", code=2).stderr


def test_the_store_can_be_named(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = publish(Store(tmp_path / "other"), train_job())
    for place in (("runs", "-C", "other", "show", run.id), ("runs", "show", run.id, "--store", "other")):
        assert run.id in call(*place).stdout
    monkeypatch.setenv("ADAPTERSTILTS_STORE", str(tmp_path / "other"))
    assert run.id in call("runs").stdout
    assert run.id in call("runs", "show", run.id).stdout


def test_pulled_runs_are_marked(call: Call, store: Store) -> None:
    source = {"repo": "you/adapter", "commit": "0123456789abcdef"}
    with store.work(train_job()) as work:
        (work.folder / "out").mkdir()
        backbone = {"name": "me5-small", "commit": None, "fingerprint": "sha256:0"}
        origin = {"backbone": backbone, "pulled": source}
        (work.folder / "out" / "origin.json").write_text(json.dumps(origin), encoding="utf-8")
        pulled = work.publish({"score": 1.0})
    evaluated = publish(store, eval_job(pulled.key, "sw"))
    trained = publish(store, train_job(seed=2))
    entries = {entry["id"]: entry["pulled"] for entry in json.loads(call("runs", "--json").stdout)}
    assert entries == {pulled.id: source, evaluated.id: source, trained.id: None}
    assert call("runs").stdout.count("you/adapter@0123456789ab") == 2
    assert "pulled from you/adapter at commit 0123456789abcdef" in call("runs", "show", pulled.id).stdout
    assert json.loads(call("runs", "show", pulled.id, "--json").stdout)["pulled"] == source


IDLE = {"adapters": {"mnli": [0.0, 0.0]}, "heads": {}, "examples": 16}
BUSY = {"adapters": {"mnli": [0.1, 0.2]}, "heads": {}, "examples": 16}


def test_a_run_that_changes_nothing_is_marked_and_explained(call: Call, store: Store) -> None:
    idle = publish(store, train_job(seed=1), effect=IDLE)
    evaluated = publish(store, eval_job(idle.key, "sw"), score=43.21)
    busy = publish(store, train_job(seed=2), effect=BUSY)
    older = publish(store, train_job(seed=3))
    found = {each["id"]: each["inert"] for each in json.loads(call("runs", "--json").stdout)}
    assert found == {idle.id: True, evaluated.id: True, busy.id: False, older.id: None}
    listed = call("runs")
    marked = [line.split()[0] for line in listed.stdout.splitlines() if "=" in line]
    assert sorted(marked) == sorted([idle.id, evaluated.id])
    assert "= an adapter that it uses changes nothing" in listed.stderr
    words = "warning: the adapter 'mnli' changes nothing: hidden states differ by 0.00 % (layers 1-2)"
    assert words in call("runs", "show", idle.id).stdout
    assert words in call("runs", "show", evaluated.id).stdout
    assert json.loads(call("runs", "show", idle.id, "--json").stdout)["effect"] == [words]
    assert json.loads(call("runs", "show", older.id, "--json").stdout)["effect"] == []
    assert "the adapter 'mnli' changes the hidden states by" in call("runs", "show", busy.id).stdout


def test_an_evaluation_is_shown_without_the_run_that_it_is_of(call: Call, store: Store) -> None:
    evaluated = publish(store, eval_job("f" * 64, "sw"))
    assert evaluated.id in call("runs", "show", evaluated.id).stdout


def test_precisions_are_listed_where_they_differ(call: Call, store: Store) -> None:
    run = publish(store, train_job())
    publish(store, eval_job(run.key, "sw"))
    alike = call("runs")
    assert "precision" not in alike.stdout + alike.stderr
    publish(store, eval_job(run.key, "de").model_copy(update={"precision": "bf16"}))
    listed = call("runs")
    assert "precision" in listed.stdout.splitlines()[0]
    assert "these runs were computed in bf16 and fp32" in " ".join(listed.stderr.split())
    assert "computed in fp32" in call("runs", "show", "eval-xnli-sw").stdout


def test_without_marks_there_is_no_legend(call: Call, store: Store) -> None:
    publish(store, train_job(), effect=BUSY)
    assert "changes nothing" not in call("runs").stderr


def test_an_evaluation_repeats_that_its_run_changes_nothing(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(store=store.root)
    _note_effect(publish(store, train_job(seed=2), effect=BUSY).id, options)
    assert capsys.readouterr().err == ""
    _note_effect(publish(store, train_job(), effect=IDLE).id, options)
    assert capsys.readouterr().err.startswith("warning: the adapter 'mnli' changes nothing")
