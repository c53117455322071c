"""Data is found where it is looked for, in order, and what is not at hand is said in one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterstilts.data.fingerprint import fingerprint
from adapterstilts.data.load import FOLDER_VARIABLE, DataLocation, available, load
from adapterstilts.data.location import Span
from adapterstilts.data.rows import PairRow, RetrievalRow
from adapterstilts.errors import ConfigError, DataError, MissingDataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import FolderSource, Split, Task

XNLI, PANX, TATOEBA = (get_task(name) for name in ("xnli", "panx", "tatoeba"))


@pytest.fixture(autouse=True)
def no_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def pairs(path: Path, count: int, mark: str = "") -> Path:
    """A file of numbered pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"p{mark}{n}\th{n}\tneutral\n" for n in range(1, count + 1)), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a German and an English file."""
    for language in ("de", "en"):
        pairs(tmp_path / f"data/xnli/dev-{language}.tsv", 20, language)
    return tmp_path / "data"


# --- where it is found


@pytest.mark.parametrize("parent", [".", "xtreme", "english", "download"])
def test_the_folder_itself_or_its_parent(tmp_path: Path, parent: str) -> None:
    pairs(tmp_path / "base" / parent / "xnli/dev-de.tsv", 3)
    found = load(XNLI, "dev", "de", DataLocation(data_dir=tmp_path / "base"))
    assert len(found.rows) == 3
    assert found.origin["kind"] == "folder"
    assert found.origin["file"] == "xnli/dev-de.tsv"


def test_the_folder_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    assert available(XNLI, "dev", DataLocation()) == ("de", "en")
    assert len(load(XNLI, "dev", "de", DataLocation()).rows) == 20


def test_an_explicit_file_comes_first(folder: Path, tmp_path: Path) -> None:
    pairs(tmp_path / "own-de.tsv", 2)
    found = load(XNLI, "dev", "de", DataLocation(data_dir=folder, file=str(tmp_path / "own-{lang}.tsv")))
    assert [row.id for row in found.rows] == ["1", "2"]
    assert found.origin["kind"] == "file"


def test_an_explicit_file_may_be_relative_to_the_data_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    location = DataLocation(data_dir=folder, file="xnli/dev-{lang}.tsv#3-4")
    assert load(XNLI, "dev", "de", location).rows == (
        PairRow("3", "pde3", "h3", "neutral"),
        PairRow("4", "pde4", "h4", "neutral"),
    )


def test_an_explicit_file_may_carry_the_codes_of_the_release(tmp_path: Path) -> None:
    for side, text in (("deu", "Ja.\n"), ("eng", "Yes.\n")):
        (tmp_path / f"tatoeba.deu-eng.{side}").write_text(text)
    location = DataLocation(file=str(tmp_path / "tatoeba.{lang}-eng.{lang}"))
    assert available(TATOEBA, "test", location) == ("de",)
    assert len(load(TATOEBA, "test", "de", location).rows) == 2


def test_templates_are_tried_in_order(tmp_path: Path) -> None:
    release = tmp_path / "XNLI-1.0/xnli.test.tsv"
    release.parent.mkdir()
    release.write_text("language\tgold_label\tsentence1\tsentence2\nde\tneutral\ta\tb\nen\tneutral\tc\td\n")
    (tmp_path / "xnli").mkdir()
    (tmp_path / "xnli/test-de.tsv").write_text("a\tb\n")
    (tmp_path / "xnli/test-fr.tsv").write_text("a\tb\n")
    location = DataLocation(data_dir=tmp_path)
    assert load(XNLI, "test", "de", location).rows == (PairRow("1", "a", "b", "neutral"),)
    with pytest.raises(DataError, match="no labelled row of xnli in 'fr'"):
        load(XNLI, "test", "fr", location)


# --- what is at hand


def test_available_names_the_languages_at_hand(folder: Path) -> None:
    assert available(XNLI, "dev", DataLocation(data_dir=folder)) == ("de", "en")
    assert available(XNLI, "test", DataLocation(data_dir=folder)) == ()
    assert available(XNLI, "dev", DataLocation()) == ()
    assert available(XNLI, "dev", DataLocation(data_dir=folder, source="hub")) == ()


def test_the_hub_counts_where_nothing_else_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xquad = get_task("xquad")
    assert available(xquad, "test", DataLocation()) == ()  # offline
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert available(xquad, "test", DataLocation()) == tuple(code for code in xquad.languages if code != "ro")
    assert available(xquad, "train", DataLocation()) == ()
    assert available(XNLI, "test", DataLocation(source="folder")) == ()
    assert available(XNLI, "test", DataLocation(data_dir=folder)) == ()
    assert available(XNLI, "test", DataLocation(data_dir=folder, source="hub")) == XNLI.languages


def test_files_without_labels_are_not_at_hand(folder: Path) -> None:
    (folder / "xnli/test-de.tsv").write_text("a\tb\n")
    (folder / "xnli/dev-fr.tsv").write_text("a\tb\tNONE\n")
    assert available(XNLI, "test", DataLocation(data_dir=folder)) == ()
    assert available(XNLI, "dev", DataLocation(data_dir=folder)) == ("de", "en", "fr")


def test_the_language_of_one_explicit_file_is_read_off_its_name(folder: Path) -> None:
    file = str(folder / "xnli/dev-de.tsv")
    assert available(XNLI, "dev", DataLocation(file=file)) == ("de",)
    assert available(XNLI, "dev", DataLocation(file=file + "#1-3")) == ("de",)
    assert available(get_task("mnli"), "dev", DataLocation(file=file)) == ("en",)


# --- slices, limits, ids


def test_slices_count_rows_from_one_and_hold_both_ends(folder: Path) -> None:
    file = str(folder / "xnli/dev-{lang}.tsv")
    found = load(XNLI, "dev", "en", DataLocation(file=file + "#19-20"))
    assert [row.id for row in found.rows] == ["19", "20"]
    assert found.origin["slice"] == [19, 20]
    first, rest, whole = (
        load(XNLI, "dev", "en", DataLocation(file=file + cut)) for cut in ("#1-8", "#9-20", "")
    )
    assert first.rows + rest.rows == whole.rows
    assert whole.origin["slice"] is None


def test_a_slice_beyond_the_end(folder: Path) -> None:
    with pytest.raises(DataError, match="rows 19-21 were requested, but the file has fewer"):
        load(XNLI, "dev", "en", DataLocation(file=str(folder / "xnli/dev-en.tsv#19-21")))


@pytest.mark.parametrize("rows", ["3", "0-3", "4-3", "a-b", "3-", "-3", ""])
def test_slices_that_are_none(folder: Path, rows: str) -> None:
    with pytest.raises(ConfigError, match="a range of rows is #first-last"):
        load(XNLI, "dev", "en", DataLocation(file=str(folder / f"xnli/dev-en.tsv#{rows}")))


def test_a_file_whose_name_holds_the_mark(tmp_path: Path) -> None:
    path = pairs(tmp_path / "c#.tsv", 1)
    assert Span.parse(str(path)) == (str(path), None)
    assert Span.parse(f"{path}#1-1") == (str(path), Span(1, 1))


def test_slices_count_records_without_gold_too(tmp_path: Path) -> None:
    golds = ["neutral", "-", "entailment"]
    records = [
        {"pairID": f"x{n}", "sentence1": "a", "sentence2": "b", "gold_label": g} for n, g in enumerate(golds)
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    found = load(get_task("mnli"), "train", "en", DataLocation(file=f"{path}#2-3"))
    assert [row.id for row in found.rows] == ["x2"]
    assert found.origin["dropped"] == 1
    assert found.notes == ("skipped 1 records that are not examples, such as those without a gold label",)


def test_limit_is_a_seeded_subsample_in_order(folder: Path) -> None:
    location = DataLocation(data_dir=folder)
    german, again = (load(XNLI, "dev", "de", location, limit=5, seed=3) for _ in range(2))
    numbers = [int(row.id) for row in german.rows]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 5
    assert again == german
    assert german.fingerprint == fingerprint(german.rows) != load(XNLI, "dev", "de", location).fingerprint
    english, other = (
        load(XNLI, "dev", "en", location, limit=5, seed=3),
        load(XNLI, "dev", "en", location, limit=5, seed=4),
    )
    assert [int(row.id) for row in english.rows] == numbers  # parallel files: the same items
    assert [int(row.id) for row in other.rows] != numbers
    assert german.origin["limit"] == 5
    assert german.origin["rows"] == 5


def test_limit_of_retrieval_keeps_all_candidates(tmp_path: Path) -> None:
    for side in ("deu", "eng"):
        (tmp_path / f"tatoeba.deu-eng.{side}").write_text("".join(f"{side} {n}\n" for n in range(9)))
    location = DataLocation(file=str(tmp_path / "tatoeba.{lang}-eng.{lang}"))
    rows = [
        row for row in load(TATOEBA, "test", "de", location, limit=2).rows if isinstance(row, RetrievalRow)
    ]
    assert sum(row.side == "query" for row in rows) == 2
    assert sum(row.side == "candidate" for row in rows) == 9
    assert {gold for row in rows for gold in row.gold} <= {row.id for row in rows if row.side == "candidate"}


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_leaves_nothing(folder: Path, limit: int) -> None:
    with pytest.raises(ConfigError, match="leaves no rows"):
        load(XNLI, "dev", "de", DataLocation(data_dir=folder), limit=limit)


def test_repeated_ids_are_told_apart_whatever_the_slice(tmp_path: Path) -> None:
    records = [{"pairID": key, "sentence1": "a", "sentence2": str(n), "gold_label": "neutral"}
               for n, key in enumerate(["x", "x", "x#2", "x", "y"])]  # fmt: skip
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    mnli = get_task("mnli")
    whole = [row.id for row in load(mnli, "train", "en", DataLocation(file=str(path))).rows]
    assert whole == ["x", "x#2", "x#2#2", "x#3", "y"]
    assert [row.id for row in load(mnli, "train", "en", DataLocation(file=f"{path}#3-4")).rows] == whole[2:4]


def test_the_same_rows_have_the_same_fingerprint_wherever_they_lie(folder: Path) -> None:
    moved = folder / "elsewhere.tsv"
    moved.write_text((folder / "xnli/dev-de.tsv").read_text().replace("\n", "\r\n"), newline="")
    one, two = (
        load(XNLI, "dev", "de", location)
        for location in (DataLocation(data_dir=folder), DataLocation(file=str(moved)))
    )
    assert one.fingerprint == two.fingerprint
    assert one.origin != two.origin


# --- bundled


def own_bundled(monkeypatch: pytest.MonkeyPatch, package: Path, files: dict[Split, tuple[str, ...]]) -> Task:
    """A task whose data comes with a package that lies in `package`."""
    monkeypatch.setattr("adapterstilts.data.location.resources.files", lambda name: package)
    return XNLI.model_copy(update={"bundled": FolderSource(files=files), "folder": None, "hub": None})


def test_bundled_files_are_read_from_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs(tmp_path / "data/mini/test-sw.tsv", 3)
    task = own_bundled(monkeypatch, tmp_path, {"test": ("data/mini/test-{lang}.tsv",)})
    for source in ("auto", "bundled"):
        found = load(task, "test", "sw", DataLocation.parse({"source": source}))
        assert (found.origin["kind"], found.origin["file"]) == ("bundled", "data/mini/test-sw.tsv")
    assert available(task, "test", DataLocation()) == ("sw",)
    assert available(task, "test", DataLocation(source="folder")) == ()


def test_a_file_named_for_one_language_is_not_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs(tmp_path / "data/mini/dev-en.tsv", 3)
    task = own_bundled(monkeypatch, tmp_path, {"dev": ("data/mini/dev-en.tsv",)})
    assert available(task, "dev", DataLocation()) == ("en",)
    with pytest.raises(MissingDataError, match="no dev data of xnli in 'sw'"):
        load(task, "dev", "sw", DataLocation())


@pytest.mark.parametrize("task", [t for t in all_tasks().values() if t.bundled], ids=lambda t: t.name)
def test_the_bundled_tasks_load_in_every_language(task: Task) -> None:
    assert available(task, "test", DataLocation()) == task.languages
    for language in task.languages:
        assert load(task, "test", language, DataLocation()).rows


# --- what is not there


def test_missing_data_says_what_where_and_how(folder: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        load(XNLI, "dev", "fr", DataLocation(data_dir=folder))
    message = str(caught.value)
    assert "no dev data of xnli in 'fr' found" in message
    assert XNLI.obtain in message
    assert f"no xnli/dev-fr.tsv or XNLI-1.0/xnli.dev.tsv in {folder}" in message
    assert "HF_HUB_OFFLINE is set" in message
    assert all(
        way in message for way in ("--data-dir FOLDER", FOLDER_VARIABLE, "--eval-file PATH", "google/xtreme")
    )


def test_missing_training_data_names_the_option_for_it() -> None:
    with pytest.raises(MissingDataError, match=r"no data folder was specified.*--train-file PATH"):
        load(get_task("squad"), "train", "en", DataLocation())


@pytest.mark.parametrize(
    ("name", "why"), [("xquad", "it is trained on squad_v1"), ("tatoeba", "no task trains it")]
)
def test_targets_without_training_data_of_their_own(name: str, why: str) -> None:
    task = get_task(name)
    with pytest.raises(MissingDataError, match=f"{name} has no training data of its own: {why}"):
        load(task, "train", task.languages[0], DataLocation())


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDataError, match=r"nowhere \(from --data-dir\) does not exist"):
        load(XNLI, "dev", "de", DataLocation(data_dir=tmp_path / "nowhere"))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(MissingDataError, match=rf"gone \(from {FOLDER_VARIABLE}\) does not exist"):
        load(XNLI, "dev", "de", DataLocation())


def test_an_explicit_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(MissingDataError, match=r"there is no file own\.fr\.tsv"):
        load(XNLI, "dev", "fr", DataLocation(data_dir=folder, file="own.{lang}.tsv"))


@pytest.mark.parametrize("name", ["own.tsv", "own-{lang}.tsv"])
def test_no_explicit_file_is_at_hand(name: str) -> None:
    with pytest.raises(MissingDataError, match="there is no file own"):
        available(XNLI, "dev", DataLocation(file=name))


def test_the_language_of_a_file_without_a_code_is_not_guessed(tmp_path: Path) -> None:
    location = DataLocation(file=str(pairs(tmp_path / "own.tsv", 2)))
    assert available(XNLI, "dev", location) == ()
    assert len(load(XNLI, "dev", "sw", location).rows) == 2


def test_an_unknown_language_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="unknown language of xnli 'xx'"):
        load(XNLI, "dev", "xx", DataLocation(data_dir=folder))


def test_unknown_settings_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'data_dir'"):
        DataLocation.parse({"data_dri": "."})


# --- the real files


def test_real_slices_do_not_overlap(shared_data: Path) -> None:
    file = "xnli/dev-{lang}.tsv"
    mnli = load(
        get_task("mnli"), "train", "en", DataLocation(data_dir=shared_data, file="xnli/dev-en.tsv#1-2000")
    )
    german = load(XNLI, "dev", "de", DataLocation(data_dir=shared_data, file=file + "#2001-2490"))
    assert (len(mnli.rows), len(german.rows)) == (2000, 490)
    assert not {row.id for row in mnli.rows} & {row.id for row in german.rows}


def test_real_ids_are_unique(shared_data: Path) -> None:
    rows = load(get_task("tydiqa"), "train", "en", DataLocation(data_dir=shared_data)).rows
    assert len({row.id for row in rows}) == len(rows) == 3696


def test_real_tatoeba_in_every_language_there(shared_data: Path) -> None:
    location = DataLocation(data_dir=shared_data)
    found = available(TATOEBA, "test", location)
    assert len(found) == len(list((shared_data / "xtreme/tatoeba").glob("*"))) / 2
    assert {"zh", "sw", "yi"} <= set(found)
    assert len(load(TATOEBA, "test", "te", location).rows) == 2 * 234


def test_real_languages_at_hand(shared_data: Path) -> None:
    location = DataLocation(data_dir=shared_data)
    assert len(available(PANX, "dev", location)) == len(list((shared_data / "xtreme/panx").glob("dev-*.tsv")))
    assert len(available(get_task("xcopa"), "dev", location)) == 8
    hidden = DataLocation(
        data_dir=shared_data, file="xcopa/test-{lang}.jsonl"
    )  # XTREME-R's: all labels are 0
    with pytest.raises(DataError, match="all 500 labels are 0"):
        load(get_task("xcopa"), "test", "sw", hidden)
    assert available(get_task("tydiqa"), "dev", location) == ()  # blanked
    with pytest.raises(DataError, match="blanked"):
        load(get_task("tydiqa"), "dev", "sw", location)


def test_real_test_files_of_xtreme_r_have_no_labels(shared_data: Path, tmp_path: Path) -> None:
    """All labels of its XCOPA test files are 0; those of XCOPA's own release, preferred, are real."""
    xcopa, folder = get_task("xcopa"), tmp_path / "xcopa"
    folder.mkdir()
    for path in (shared_data / "xtreme" / "xcopa").glob("test-*.jsonl"):
        (folder / path.name).symlink_to(path)
    assert available(xcopa, "test", DataLocation(data_dir=tmp_path)) == ()
    own_release = [path.name for path in (shared_data / "xtreme" / "xcopa").glob("test.*.jsonl")]
    assert len(available(xcopa, "test", DataLocation(data_dir=shared_data))) == len(own_release)
