"""The leak guard: an evaluation of trained items is refused, in English and in every other language."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterstilts.api import Options, compose, evaluate, train_adapter
from adapterstilts.errors import DataError
from adapterstilts.store import Run, Store

LABELS = ("entailment", "neutral", "contradiction")
QUICK = {"max_steps": 1, "holdout": 0.0, "batch_size": 8}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XNLI's development files in three languages: 40 pairs, translations of each other in one order."""
    folder = tmp_path_factory.mktemp("download")
    (folder / "xnli").mkdir()
    for code in ("en", "de", "sw"):
        lines = [f"{code} premise {n}.\t{code} hypothesis {n}.\t{LABELS[n % 3]}" for n in range(40)]
        (folder / "xnli" / f"dev-{code}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def options(tiny_backbone: Path, release: Path, tmp_path_factory: pytest.TempPathFactory) -> Options:
    store = tmp_path_factory.mktemp("runs")
    return Options(backbone=str(tiny_backbone), store=store, data_dir=release, recipe=QUICK)


def told(options: Options, **more: object) -> Options:
    return options.model_copy(update=more)


@pytest.fixture(scope="module")
def trained(options: Options) -> Run:
    """A run that was trained on the first 30 English pairs."""
    return train_adapter("mnli", told(options, train_file="xnli/dev-en.tsv#1-30"))


@pytest.fixture
def rest(options: Options) -> Options:
    return told(options, eval_file="xnli/dev-{lang}.tsv#31-40")


def test_trained_items_are_refused_with_their_number_and_what_to_do(options: Options, trained: Run) -> None:
    with pytest.raises(
        DataError, match=r"30 of the 40 items of xnli in 'en' .*such as.*'en premise 0"
    ) as error:
        evaluate(trained.id, "xnli", options=options)
    assert "--allow-leak" in str(error.value) and "--eval-file FILE#first-last" in str(error.value)


@pytest.mark.parametrize("file", [None, "xnli/dev-{lang}.tsv", "xnli/dev-de.tsv", "xnli/dev-de.tsv#1-30"])
def test_translations_of_trained_items_are_refused(options: Options, trained: Run, file: str | None) -> None:
    with pytest.raises(
        DataError, match=r"30 of the \d0 items of xnli in 'de'.*\(30 of them as their English"
    ):
        evaluate(trained.id, "xnli", ["de"], told(options, eval_file=file))


def test_a_sample_is_compared_item_by_item(options: Options, trained: Run) -> None:
    sampled = told(options, limit=20, allow_leak=True)
    found = evaluate(trained.id, "xnli", ["en", "sw"], sampled)[0].leaks
    assert found["en"].items == found["sw"].translated == found["sw"].items > 10


def test_other_rows_of_the_same_file_are_fine(options: Options, trained: Run, rest: Options) -> None:
    (found,) = evaluate(trained.id, "xnli", options=rest)
    assert list(found.runs) == ["en", "de", "sw"]
    assert [str(leak) for leak in found.leaks.values()] == ["", "", ""]
    assert "leaked" not in found.runs["de"].metrics


def test_a_result_that_was_insisted_on_says_so(options: Options, trained: Run) -> None:
    (found,) = evaluate(trained.id, "xnli", ["en", "de"], told(options, allow_leak=True))
    run = found.runs["de"]
    assert run.metrics["leaked"] == 30
    leak = json.loads((run.path / "origin.json").read_text())["leak"]
    assert (leak["items"], leak["translated"], leak["of"], leak["unchecked"]) == (30, 30, 40, [])
    assert str(found.leaks["de"]) == "30 of 40 items were trained on (30 of them in English)"
    with pytest.raises(DataError, match="30 of the 40"):  # that a result is there does not open the way
        evaluate(trained.id, "xnli", ["de"], options)


def test_what_a_source_was_trained_on_counts(options: Options, trained: Run, rest: Options) -> None:
    target = compose("mnli", "sequential", [trained.id], told(options, train_file="xnli/dev-en.tsv#31-35"))
    again = compose("mnli", "stack", [target.id], told(options, train_file="xnli/dev-en.tsv#36-38"))
    with pytest.raises(DataError, match="38 of the 40 items of xnli in 'sw'"):
        evaluate(again.id, "xnli", ["sw"], options)
    store = Store(options.store)
    store.remove(target.id)  # and with it the way to its own source
    with pytest.raises(DataError, match="3 of the 10 items"):
        evaluate(again.id, "xnli", ["sw"], rest)
    (found,) = evaluate(again.id, "xnli", ["sw"], told(rest, allow_leak=True))
    (unchecked,) = found.leaks["sw"].unchecked
    assert "which is gone, was trained on could not be checked" in unchecked


def test_without_the_english_side_the_result_says_what_was_not_checked(
    options: Options, trained: Run, tmp_path: Path, release: Path
) -> None:
    (tmp_path / "xnli").mkdir()
    file = tmp_path / "xnli" / "dev-sw.tsv"
    file.write_bytes((release / "xnli" / "dev-sw.tsv").read_bytes())
    alone = told(options, data_dir=tmp_path, recipe={})
    (found,) = evaluate(trained.id, "xnli", ["sw"], alone)
    assert found.leaks["sw"].items == 0
    assert "only exact duplicates were checked" in str(found.leaks["sw"])
    (tmp_path / "xnli" / "dev-en.tsv").write_text("one pair.\ttoo few.\tneutral\n", encoding="utf-8")
    (found,) = evaluate(trained.id, "xnli", ["sw"], alone)
    assert "only exact duplicates were checked" in str(found.leaks["sw"])


def test_retrieval_and_tasks_that_are_not_parallel_pass(options: Options, trained: Run) -> None:
    (found,) = evaluate(trained.id, "mini_retrieval", ["de"], options)
    assert found.leaks["de"].of == 0


def test_a_run_of_an_earlier_form_is_not_refused_but_said_to_be_unchecked(
    options: Options, trained: Run, rest: Options
) -> None:
    from adapterstilts.api.leaks import Guard
    from adapterstilts.data.source import load
    from adapterstilts.tasks.registry import get

    folder = options.store / "copy"
    folder.mkdir()
    old = Run("old", trained.key, folder, trained.job, {}, "", 0)
    guard = Guard(Store(options.store), old, get("xnli"), "dev", options.where(None))
    leak = guard.check("en", load(get("xnli"), "dev", "en", options.where(None)))
    assert str(leak) == "what old was trained on could not be checked"


def test_the_real_files(shared_data: Path, tiny_backbone: Path, tmp_path: Path) -> None:
    """English XNLI development rows 1 to 2,000 train: each language leaks as many, and none of the rest."""
    options = Options(backbone=str(tiny_backbone), store=tmp_path, data_dir=shared_data, recipe=QUICK)
    run = train_adapter("mnli", told(options, train_file="xnli/dev-en.tsv#1-2000"))
    for language in ("en", "ar", "de", "es", "fr", "hi", "ru", "sw", "tr", "zh"):
        with pytest.raises(DataError, match=f"2000 of the 2490 items of xnli in '{language}'"):
            evaluate(run.id, "xnli", [language], told(options, eval_file="xnli/dev-{lang}.tsv"))
    rest = told(options, eval_file="xnli/dev-{lang}.tsv#2001-2490")
    (found,) = evaluate(run.id, "xnli", ["en", "zh"], rest)
    assert [leak.items for leak in found.leaks.values()] == [0, 0]
