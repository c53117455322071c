"""The leak guard: an evaluation of trained items is refused, in English and in every other language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterstilts import EvaluationOptions, TrainingOptions, compose, evaluate, submit, train_adapter
from adapterstilts.cli.submit import _print_submission
from adapterstilts.composition import Sequential, Stack
from adapterstilts.data.load import DataLocation, Loaded, load
from adapterstilts.errors import DataError
from adapterstilts.run.leak_guard import LeakGuard
from adapterstilts.run.lineage import History
from adapterstilts.store import Run, Store
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Split, Task

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
def options(tiny_backbone: Path, release: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    store = tmp_path_factory.mktemp("runs")
    return TrainingOptions(backbone=str(tiny_backbone), store=store, data_dir=release, hyperparameters=QUICK)


def told(options: TrainingOptions, **more: Any) -> Any:
    """Training options with changes, or evaluation options where the changes are about evaluation."""
    evaluated = {"eval_file", "allow_leak"} & more.keys()
    return (EvaluationOptions.of(options) if evaluated else options).model_copy(update=more)


@pytest.fixture(scope="module")
def trained(options: TrainingOptions) -> Run:
    """A run that was trained on the first 30 English pairs."""
    return train_adapter("mnli", told(options, train_file="xnli/dev-en.tsv#1-30"))


@pytest.fixture
def rest(options: TrainingOptions) -> TrainingOptions:
    return told(options, eval_file="xnli/dev-{lang}.tsv#31-40")


def test_trained_items_are_refused_with_their_number_and_what_to_do(
    options: TrainingOptions, trained: Run
) -> None:
    with pytest.raises(
        DataError, match=r"30 of the 40 items of xnli in 'en' .*such as.*'en premise 0"
    ) as error:
        evaluate(trained.id, "xnli", options=options)
    assert "--allow-leak" in str(error.value) and "--eval-file FILE#first-last" in str(error.value)


@pytest.mark.parametrize("file", [None, "xnli/dev-{lang}.tsv", "xnli/dev-de.tsv", "xnli/dev-de.tsv#1-30"])
def test_translations_of_trained_items_are_refused(
    options: TrainingOptions, trained: Run, file: str | None
) -> None:
    with pytest.raises(
        DataError, match=r"30 of the \d0 items of xnli in 'de'.*\(30 of them in another language"
    ):
        evaluate(trained.id, "xnli", ["de"], told(options, eval_file=file))


def test_a_sample_is_compared_item_by_item(options: TrainingOptions, trained: Run) -> None:
    sampled = told(options, limit=20, allow_leak=True)
    found = evaluate(trained.id, "xnli", ["en", "sw"], sampled)[0].leaks
    assert found["en"].items == found["sw"].translated == found["sw"].items > 10


def test_other_rows_of_the_same_file_are_fine(
    options: TrainingOptions, trained: Run, rest: TrainingOptions
) -> None:
    (found,) = evaluate(trained.id, "xnli", options=rest)
    assert list(found.runs) == ["en", "de", "sw"]
    assert [str(leak) for leak in found.leaks.values()] == ["", "", ""]
    assert "leaked" not in found.runs["de"].metrics


def test_a_result_that_was_insisted_on_says_so(options: TrainingOptions, trained: Run) -> None:
    (found,) = evaluate(trained.id, "xnli", ["en", "de"], told(options, allow_leak=True))
    run = found.runs["de"]
    assert run.metrics["leaked"] == 30
    leak = json.loads((run.path / "origin.json").read_text())["leak"]
    assert (leak["items"], leak["translated"], leak["examples"], leak["unchecked"]) == (30, 30, 40, [])
    assert str(found.leaks["de"]) == "30 of 40 items were trained on (30 of them in another language)"
    with pytest.raises(DataError, match="30 of the 40"):  # that a result is there does not open the way
        evaluate(trained.id, "xnli", ["de"], options)


def test_what_a_source_was_trained_on_counts(
    options: TrainingOptions, trained: Run, rest: TrainingOptions
) -> None:
    target = compose("mnli", Sequential(trained.id), told(options, train_file="xnli/dev-en.tsv#31-35"))
    again = compose("mnli", Stack(target.id), told(options, train_file="xnli/dev-en.tsv#36-38"))
    with pytest.raises(DataError, match="38 of the 40 items of xnli in 'sw'"):
        evaluate(again.id, "xnli", ["sw"], options)
    Store(options.store).remove(target.id)  # nothing is lost with it
    with pytest.raises(DataError, match="8 of the 10 items"):
        evaluate(again.id, "xnli", ["sw"], rest)
    (found,) = evaluate(again.id, "xnli", ["sw"], told(rest, allow_leak=True))
    assert found.leaks["sw"].unchecked == ()


def test_without_the_english_side_the_result_says_what_was_not_checked(
    options: TrainingOptions, trained: Run, tmp_path: Path, release: Path
) -> None:
    (tmp_path / "xnli").mkdir()
    file = tmp_path / "xnli" / "dev-sw.tsv"
    file.write_bytes((release / "xnli" / "dev-sw.tsv").read_bytes())
    alone = told(options, data_dir=tmp_path, hyperparameters={})
    (found,) = evaluate(trained.id, "xnli", ["sw"], alone)
    assert found.leaks["sw"].items == 0
    assert "only exact duplicates were checked" in str(found.leaks["sw"])
    (tmp_path / "xnli" / "dev-de.tsv").write_bytes((release / "xnli" / "dev-de.tsv").read_bytes())
    (found,) = evaluate(trained.id, "xnli", ["sw"], alone)
    assert "the English items were not compared, because they were not found" in str(found.leaks["sw"])
    (tmp_path / "xnli" / "dev-en.tsv").write_text("one pair.\ttoo few.\tneutral\n", encoding="utf-8")
    (found,) = evaluate(trained.id, "xnli", ["sw"], alone)
    assert "the English items" in str(found.leaks["sw"])


def translations(folder: Path, columns: int) -> str:
    """German rows 1 to 30 as training data: five columns with the originals, or three without."""
    file = folder / f"en-de-{columns}.tsv"
    lines = [
        "\t".join(
            (f"en premise {n}.", f"en hypothesis {n}.", f"Satz {n}.", f"Folge {n}.", LABELS[n % 3])[-columns:]
        )
        for n in range(30)
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def test_the_originals_of_translated_training_data_count(options: TrainingOptions, tmp_path: Path) -> None:
    translated = told(options, translated=translations(tmp_path, 5), translated_only=True)
    run = train_adapter("mnli", translated)
    (found,) = evaluate(run.id, "xnli", ["en", "sw"], told(options, allow_leak=True))
    assert (found.leaks["en"].items, found.leaks["en"].translated) == (30, 0)
    assert (found.leaks["sw"].items, found.leaks["sw"].translated) == (30, 30)
    assert found.leaks["en"].unchecked == ()


def test_originals_that_are_not_known_are_said_to_be_unchecked(
    options: TrainingOptions, tmp_path: Path
) -> None:
    translated = told(options, translated=translations(tmp_path, 3), translated_only=True)
    run = train_adapter("mnli", translated)
    (found,) = evaluate(run.id, "xnli", ["en"], options)
    assert (
        str(found.leaks["en"])
        == f"the originals of the translated rows that {run.id} was trained on are not known"
    )


@pytest.mark.parametrize("file", [None, "xnli/dev-{lang}.tsv", "xnli/dev-en.tsv"])
def test_items_trained_on_in_a_foreign_language_are_found_in_the_others(
    options: TrainingOptions, file: str | None
) -> None:
    run = train_adapter("mnli", told(options, train_file="xnli/dev-de.tsv#1-30"))
    found = evaluate(run.id, "xnli", ["en"], told(options, eval_file=file, allow_leak=True))[0].leaks["en"]
    assert (found.items, found.translated, found.unchecked) == (30, 30, ())


def test_each_language_is_read_once(
    options: TrainingOptions, trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(task: Task, split: Split, language: str, location: DataLocation, *, hidden: bool) -> Loaded:
        read.append(language)
        return load(task, split, language, location, hidden=hidden)

    monkeypatch.setattr("adapterstilts.run.leak_guard.load", counted)
    evaluate(trained.id, "xnli", ["de", "sw"], told(options, allow_leak=True))
    assert sorted(code for code in read if code in ("en", "de", "sw")) == ["en", "sw"]
    assert len(read) == len(set(read))  # German was evaluated first, so that its rows were at hand


@pytest.mark.parametrize(("rows", "refused"), [("1-40", True), ("2-40", True), ("3-40", False)])
def test_no_chance_recurrence_is_granted_to_rows_of_the_same_file(
    options: TrainingOptions, rows: str, refused: bool, tmp_path: Path
) -> None:
    """Two of forty sentences are fewer than tagging's share, and the third repeats the first."""
    words = ["a", "b", "a", *(f"word{n}" for n in range(37))]
    file = tmp_path / "sentences.tsv"
    file.write_text("".join(f"{word}\tO\n\n" for word in words), encoding="utf-8")
    run = train_adapter("panx", told(options, train_file=f"{file}#1-2"))
    wanted = told(options, eval_file=f"{file}#{rows}")
    if refused:
        with pytest.raises(DataError, match=r"of the (40|39) items of panx"):
            evaluate(run.id, "panx", ["en"], wanted)
    else:
        assert evaluate(run.id, "panx", ["en"], wanted)[0].leaks["en"].items == 1


def write_xquad(folder: Path, code: str) -> None:
    """Ten paragraphs, each with a question that its second sentence answers."""
    paragraphs = []
    for n in range(10, 20):
        answers = [{"text": "Tom", "answer_start": 17}]
        questions = [{"id": f"q{n}", "question": f"{code} who {n}?", "answers": answers}]
        paragraphs.append({"context": f"{code} {n} Anna sang. Tom slept {n}.", "qas": questions})
    text = json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]})
    folder.mkdir(exist_ok=True)
    (folder / f"xquad.{code}.json").write_text(text, encoding="utf-8")


def test_the_questions_of_xquad_are_items_of_lareqa(options: TrainingOptions, tmp_path: Path) -> None:
    for code in ("en", "de"):
        write_xquad(tmp_path / "xquad", code)
    run = train_adapter("squad_v1", told(options, data_dir=tmp_path, train_file="xquad/xquad.en.json#1-6"))
    wanted = told(options, data_dir=tmp_path, allow_leak=True)
    leaks = evaluate(run.id, "lareqa", ["en", "de"], wanted)[0].leaks
    assert [(leak.items, leak.translated, leak.examples) for leak in leaks.values()] == [
        (6, 0, 10),
        (6, 6, 10),
    ]
    sampled = evaluate(run.id, "lareqa", ["de"], told(wanted, limit=5))[0].leaks["de"]
    assert 0 < sampled.items <= sampled.examples == 5


def test_a_symmetric_pair_is_the_same_item_in_either_order(options: TrainingOptions, tmp_path: Path) -> None:
    lines = [(f"one {n}", f"two {n}", str(n % 2)) for n in range(20)]
    for name, order in (("train-en", (0, 1, 2)), ("dev-en", (1, 0, 2))):
        (tmp_path / "pawsx").mkdir(exist_ok=True)
        text = "".join("\t".join(line[n] for n in order) + "\n" for line in lines)
        (tmp_path / "pawsx" / f"{name}.tsv").write_text(text, encoding="utf-8")
    wanted = told(options, data_dir=tmp_path)
    run = train_adapter("pawsx", wanted)
    with pytest.raises(DataError, match="20 of the 20 items of pawsx"):
        evaluate(run.id, "pawsx", ["en"], wanted)


def test_a_stored_result_is_given_with_what_is_known_now(
    options: TrainingOptions, trained: Run, tmp_path: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the English side a German result was stored that knows of no leak; with it, it says so."""
    (tmp_path / "xnli").mkdir()
    for code in ("de", "sw"):
        (tmp_path / "xnli" / f"dev-{code}.tsv").write_bytes(
            (release / "xnli" / f"dev-{code}.tsv").read_bytes()
        )
    wanted = told(options, data_dir=tmp_path, allow_leak=True, encoding={"max_length": 64})
    assert "leaked" not in evaluate(trained.id, "xnli", ["de"], wanted)[0].runs["de"].metrics
    (tmp_path / "xnli" / "dev-en.tsv").write_bytes((release / "xnli" / "dev-en.tsv").read_bytes())
    (found,) = evaluate(trained.id, "xnli", ["de"], wanted)
    assert found.runs["de"].metrics["leaked"] == found.leaks["de"].items == 30
    made = submit([trained.id], tmp_path / "out", ["xnli"], split="dev", partial=True, options=wanted)
    assert {file.language: file.leaked for file in made.files}["de"] == 30
    _print_submission(made)
    assert "leaked: xnli de: 30 of 40 rows were trained on" in capsys.readouterr().err


def test_retrieval_and_tasks_that_are_not_parallel_pass(options: TrainingOptions, trained: Run) -> None:
    (found,) = evaluate(trained.id, "mini_retrieval", ["de"], options)
    assert found.leaks["de"].examples == 0


def test_a_run_of_an_earlier_form_is_not_refused_but_said_to_be_unchecked(
    options: TrainingOptions, trained: Run, rest: TrainingOptions
) -> None:
    folder = options.store / "copy"
    folder.mkdir()
    old = Run("old", trained.key, folder, trained.job, {}, "", 0)
    guard = LeakGuard(Store(options.store), old, get_task("xnli"), "dev", options.location(None))
    leak = guard.check("en", load(get_task("xnli"), "dev", "en", options.location(None)))
    assert str(leak) == "the items that old was trained on could not be checked"
    job = trained.training.model_copy(update={"composition": Sequential(sources=("0" * 64,))})
    found = History.of(Store(options.store), Run("built", trained.key, folder, job, {}, "", 0))
    assert found.unknown[1].startswith("the training data of the removed run 000000000000")
    assert [credit.licence for credit in found.credits][-1] == "not known"


@pytest.mark.parametrize("trained_in", ["en", "de"])
def test_the_real_files(shared_data: Path, tiny_backbone: Path, tmp_path: Path, trained_in: str) -> None:
    """XNLI development rows 1 to 2,000 in one language train: all leak in each language, none of the rest."""
    options = TrainingOptions(
        backbone=str(tiny_backbone), store=tmp_path, data_dir=shared_data, hyperparameters=QUICK
    )
    run = train_adapter("mnli", told(options, train_file=f"xnli/dev-{trained_in}.tsv#1-2000"))
    for rows in ("", "#2001-2490"):
        location = options.location("xnli/dev-{lang}.tsv" + rows)
        guard = LeakGuard(Store(tmp_path), run, get_task("xnli"), "dev", location)
        for language in ("en", "ar", "de", "es", "fr", "hi", "ru", "sw", "tr", "zh"):
            loaded = load(get_task("xnli"), "dev", language, location)
            if rows:
                assert str(guard.check(language, loaded)) == ""
            else:
                with pytest.raises(DataError, match=f"2000 of the 2490 items of xnli in '{language}'"):
                    guard.check(language, loaded)
