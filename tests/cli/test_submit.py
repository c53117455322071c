"""Submissions from stored evaluations: complete, checked against the rows, and whole or not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.composition import Single
from adapterstilts.data.load import DataLocation, load
from adapterstilts.job import EvalJob, TrainJob
from adapterstilts.store import Run, Store, write_predictions
from adapterstilts.tasks.lookup import get_task

from .conftest import Call

LANGUAGES = ("de", "en", "es", "fr", "ja", "ko", "zh")
Evaluate = Callable[..., Run]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """PAWS-X's release with three test pairs in each language."""
    folder = tmp_path / "data"
    for language in LANGUAGES:
        place = folder / "x-final" / language
        place.mkdir(parents=True)
        lines = [
            "id\tsentence1\tsentence2\tlabel",
            *(f"{n}\ta {n}\tb {language}\t{n % 2}" for n in range(1, 4)),
        ]
        (place / "test_2k.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "checkpoints")


def train(store: Store, seed: int = 1) -> Run:
    job = TrainJob(
        task="pawsx", task_version=1, backbone="b", data={"train": "t", "dev": ""}, adapter={},
        hyperparameters=None,
        encoding={}, composition=Single(), seed=seed,
    )  # fmt: skip
    with store.work(job) as work:
        return work.publish({"score": 50.0})


def evaluate(
    store: Store, data: Path, run: Run, language: str, label: str, limit: int | None = None, length: int = 128
) -> Run:
    """A stored evaluation that says `label` of every pair."""
    rows = load(get_task("pawsx"), "test", language, DataLocation(data_dir=data), limit)
    job = EvalJob(
        run=run.key, task="pawsx", task_version=1, split="test", language=language, backbone="b",
        data=rows.fingerprint, encoding={"max_length": length}, precision="fp32",
    )  # fmt: skip
    with store.work(job) as work:
        out = work.folder / "out"
        out.mkdir(parents=True)
        write_predictions(out / "predictions.parquet", [{"id": row.id, "label": label} for row in rows.rows])
        (out / "origin.json").write_text(json.dumps({"data": rows.origin}), encoding="utf-8")
        return work.publish({"score": 50.0, "examples": len(rows.rows)})


@pytest.fixture
def submit(call: Call, store: Store, data: Path) -> Callable[..., object]:
    def run(*words: str, code: int = 0) -> object:
        settings = ("--store", str(store.root), "--data-dir", str(data), "--out", "out", "--targets", "pawsx")
        return call("submit", *words, *settings, code=code)

    return run


def test_a_complete_target(submit, store, data, tmp_path):
    run = train(store)
    for language in LANGUAGES:
        evaluate(store, data, run, language, "paraphrase" if language == "de" else "different")
    found = json.loads(submit(run.id, "--json").stdout)
    assert sorted(path.name for path in (tmp_path / "out" / "pawsx").iterdir()) == [
        f"test-{language}.tsv" for language in LANGUAGES
    ]
    assert (tmp_path / "out/pawsx/test-de.tsv").read_text() == "1\n1\n1\n"
    assert (tmp_path / "out/pawsx/test-zh.tsv").read_text() == "0\n0\n0\n"
    assert found["missing"] == {} and [file["language"] for file in found["files"]] == list(LANGUAGES)
    assert all(file["rows"] == 3 and file["checked"] for file in found["files"])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]
    assert "exists and is not empty" in submit(run.id, code=2).stderr


def test_what_is_missing_is_named_and_nothing_is_written(submit, store, data, tmp_path):
    run = train(store)
    evaluate(store, data, run, "de", "different")
    evaluate(store, data, run, "en", "different", limit=2)
    said = " ".join(submit(run.id, code=2).stderr.split())
    assert "pawsx (es, fr, ja, ko, zh): not evaluated" in said
    assert "pawsx (en): evaluated on other rows (2) than those found (3)" in said
    assert not (tmp_path / "out").exists()
    said = submit(run.id, "--partial").stderr
    assert "missing: pawsx en" in said
    assert [path.name for path in (tmp_path / "out" / "pawsx").iterdir()] == ["test-de.tsv"]


def test_without_the_rows_a_limited_evaluation_is_still_refused(call, store, data):
    run = train(store)
    evaluate(store, data, run, "de", "different")
    evaluate(store, data, run, "en", "different", limit=2)
    words = ["submit", run.id, "--store", str(store.root), "--out", "out", "--targets", "pawsx", "--partial"]
    said = call(*words).stderr
    assert "pawsx en: evaluated on some rows only (2)" in said
    assert "not compared with their rows, which were not found: pawsx de" in said


def test_the_first_run_and_its_latest_evaluation_win(submit, store, data, tmp_path):
    first, second = train(store, 1), train(store, 2)
    for language in LANGUAGES:
        evaluate(store, data, second, language, "paraphrase")
    evaluate(store, data, first, "de", "different")
    assert "es, fr, ja, ko, zh): not evaluated" in submit(first.id, second.id, code=2).stderr
    submit(second.id, first.id)
    assert (tmp_path / "out/pawsx/test-de.tsv").read_text() == "1\n1\n1\n"


@pytest.mark.parametrize("at_hand", [True, False])
def test_the_latest_evaluation_of_all_rows_wins(call, store, data, tmp_path, at_hand):
    """A later evaluation of a few rows hides no whole one."""
    run = train(store)
    kinds = (("different", None, 32), ("paraphrase", None, 64), ("different", 2, 128))
    for number, (label, limit, length) in enumerate(kinds, start=1):
        made = evaluate(store, data, run, "de", label, limit, length)
        later = time.time() + 60 * number  # it counts in seconds
        os.utime(made.path / "manifest.json", (later, later))
    words = ["submit", run.id, "--store", str(store.root), "--out", "out", "--targets", "pawsx", "--partial"]
    call(*words, *(["--data-dir", str(data)] if at_hand else []))
    assert (tmp_path / "out/pawsx/test-de.tsv").read_text() == "1\n1\n1\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--targets", "lareqa", "--suite", "xtreme-r"], "reads no file for lareqa"),
        (["--targets", "pawsx", "--suite", "xtreme-r"], "unknown target of xtreme-r 'pawsx'"),
        (["--suite", "xtrem"], "did you mean 'xtreme'"),
        (["--split", "tset"], "did you mean 'test'"),
        ([], "no file can be written"),
    ],
)
def test_wrong_words(call, store, words, message):
    run = train(store)
    partial = ["--partial"] if not words else []
    said = call("submit", run.id, "--store", str(store.root), "--out", "out", *partial, *words, code=2).stderr
    assert message in " ".join(said.split())


def test_an_evaluation_is_not_a_run_to_submit(submit, store, data):
    found = evaluate(store, data, train(store), "de", "different")
    assert "pass the run that it evaluates" in " ".join(submit(found.id, code=2).stderr.split())
