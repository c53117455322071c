"""The language of a file: from its name where the data set's own form says so, else it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.data.file_language import languages_of_file
from adapterstilts.data.load import DataLocation, available, load
from adapterstilts.errors import ConfigError, DataError, MissingDataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Split, Task

OwnTask = Callable[..., Task]
TAGS = "Rome\tB-LOC\nwaits\tO\n"


@pytest.mark.parametrize(
    ("task", "file", "languages"),
    [
        ("panx", "dev-de.tsv", ("de",)),
        ("panx", "elsewhere/test-my.tsv", ("my",)),
        ("panx", "panx/de/dev", ("de",)),
        ("panx", "de/dev", ()),
        ("panx", "panx_dataset/my-dev", ("my",)),
        ("panx", "my-dev", ()),
        ("panx", "my_ner.tsv", ()),
        ("panx", "my-en-dev.tsv", ()),
        ("panx", "test_no.tsv", ()),
        ("panx", "it.tsv", ()),
        ("panx", "data.en.is.tsv", ()),
        ("panx", "dev-EN.tsv", ()),
        ("panx", "dev-xx.tsv", ()),
        ("panx", "plain.tsv", ()),
        ("xnli", "dev-de.tsv", ("de",)),
        ("xnli", "gold-de.tsv", ()),
        ("udpos", "de_gsd-ud-test.conllu", ("de",)),
        ("udpos", "de_gsd.conllu", ()),
        ("xquad", "xquad.zh.json", ("zh",)),
        ("lareqa", "xquad-r/zh.json", ("zh",)),
        ("lareqa", "zh.json", ()),
        ("mlqa", "dev-context-vi-question-vi.json", ("vi",)),
        ("mlqa", "dev-context-vi-question-de.json", ()),
        ("tatoeba", "tatoeba.deu-eng.deu", ("de",)),
        ("tatoeba", "tatoeba.de-eng.de", ()),
        ("bucc2018", "zh-en.dev.zh", ("zh",)),
        ("mini_ner", "dev-en.tsv", ("en",)),
        ("mini_ner", "test-sw.tsv", ("sw",)),
        ("mini_ner", "dev-sw.tsv", ()),
        ("xcopa", "xcopa/it/val.it.jsonl", ("it",)),
    ],
)
def test_only_names_of_the_data_set_tell_a_language(task: str, file: str, languages: tuple[str, ...]) -> None:
    assert languages_of_file(file, get_task(task)) == languages


def test_a_name_that_fits_two_languages() -> None:
    task = get_task("tatoeba")
    assert task.folder is not None
    both = task.folder.model_copy(update={"codes": {**task.folder.codes, "nl": "deu"}})
    with pytest.raises(ConfigError, match=r"fits files of several languages \(de, nl\): pass --languages"):
        languages_of_file("tatoeba.deu-eng.deu", task.model_copy(update={"folder": both}))


def test_an_explicit_file_is_offered_in_the_language_of_its_name_alone(tmp_path: Path) -> None:
    for name in ("my_ner.tsv", "my-en-dev.tsv", "dev-my.tsv"):
        (tmp_path / name).write_text(TAGS, encoding="utf-8")
    panx = get_task("panx")
    found = {
        path.name: available(panx, "dev", DataLocation(file=f"{path}{cut}"))
        for path, cut in zip(sorted(tmp_path.iterdir()), ("", "#1-1", ""), strict=True)
    }
    assert found == {"dev-my.tsv": ("my",), "my-en-dev.tsv": (), "my_ner.tsv": ()}


# --- tasks of one's own

TABLE = (
    "name: own\nkind: sequence\nlanguages: [en, no, is]\nlabels: [x, y]\nformat: tsv\n"
    "files: {{train: {train}, {split}: {name}}}\ncolumns: {{first: t, label: l}}\n"
)
ROWS = "t\tl\none\tx\n"


def own(own_task: OwnTask, name: str, split: str = "test", train: str = "train.tsv") -> Task:
    return own_task(TABLE.format(train=train, split=split, name=name), **{train: ROWS, name: ROWS})


@pytest.mark.parametrize(
    ("name", "split", "languages"),
    [
        ("test-no.tsv", "test", ("no",)),
        ("no_test.tsv", "test", ("no",)),
        ("dev.tsv", "dev", ("en",)),
        ("sets-dev.tsv", "dev", ("en",)),
        ("dev-is.tsv", "dev", ("is",)),
        ("dev-en.tsv", "dev", ("en",)),
    ],
)
def test_development_data_is_english_unless_its_name_tells_otherwise(
    own_task: OwnTask, name: str, split: Split, languages: tuple[str, ...]
) -> None:
    task = own(own_task, name, split)
    assert available(task, split, DataLocation()) == languages
    assert len(load(task, split, languages[0], DataLocation()).rows) == 1
    with pytest.raises(MissingDataError):
        load(task, split, next(code for code in task.languages if code not in languages), DataLocation())


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        (
            "test.tsv",
            "test",
            "test.tsv does not name its language: write {lang} in place of the language code",
        ),
        ("data.en.is.tsv", "test", r"data.en.is.tsv names several languages \(en, is\)"),
        ("dev_no_en.tsv", "dev", r"dev_no_en.tsv names several languages \(en, no\)"),
    ],
)
def test_names_that_tell_none_or_two(own_task: OwnTask, name: str, split: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"line 6: files: {message}"):
        own(own_task, name, split)


def test_training_data_of_another_language_by_its_name(own_task: OwnTask) -> None:
    assert (
        len(load(own(own_task, "test-no.tsv", train="train_is_en.tsv"), "train", "en", DataLocation()).rows)
        == 1
    )
    with pytest.raises(
        ConfigError, match=r"train-is.tsv is in 'is' by its name, but training data is English"
    ):
        own(own_task, "test-no.tsv", train="train-is.tsv")


@pytest.mark.parametrize("form", ["token-tag", "squad"])
def test_other_forms_are_asked_for_their_language_too(own_task: OwnTask, form: str) -> None:
    kind = "kind: tagging\nlabels: [O, B-LOC]" if form == "token-tag" else "kind: span"
    definition = f"name: own\n{kind}\nlanguages: [en, de]\nformat: {form}\nfiles: {{train: a, test: b}}\n"
    with pytest.raises(ConfigError, match="files: b does not name its language"):
        own_task(definition)


def test_pairs_may_name_their_language_in_each_row(own_task: OwnTask) -> None:
    definition = "name: own\nkind: sequence\nlabels: [x, y]\nlanguages: [en, de]\nformat: pair\n"
    definition += "files: {train: a.tsv, dev: a.tsv, test: b.tsv}\n"
    header = "language\tpremise\thypothesis\tlabel\n"
    files = {"a.tsv": "one\ttwo\tx\n", "b.tsv": header + "de\tone\ttwo\tx\nen\tthree\tfour\ty\n"}
    task = own_task(definition, **files)
    assert [row.label for row in load(task, "test", "de", DataLocation()).rows] == ["x"]  # type: ignore[union-attr]
    assert available(task, "test", DataLocation()) == ("en", "de")
    assert available(task, "dev", DataLocation()) == ("en",)
    task = own_task(definition, **{**files, "b.tsv": files["a.tsv"]})
    assert available(task, "test", DataLocation()) == ()
    with pytest.raises(MissingDataError, match=r"b\.tsv does not name its language: write \{lang\}"):
        load(task, "test", "de", DataLocation())


# --- slices


def numbered(path: Path, rows: int) -> Path:
    path.write_text("".join(f"one {n}\ttwo\tneutral\n" for n in range(rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["train#v2-en.tsv", "a#b", "c#1-2", "d#{lang}.tsv"])
def test_a_mark_inside_a_name_is_no_slice_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    numbered(tmp_path / name.replace("{lang}", "en"), 5)
    mnli = get_task("mnli")
    location = DataLocation(data_dir=tmp_path, file=name)
    assert len(load(mnli, "train", "en", location).rows) == 5
    rest = DataLocation(data_dir=tmp_path, file=f"{name}#4-5")
    assert [row.id for row in load(mnli, "train", "en", rest).rows] == ["4", "5"]


def test_a_slice_goes_to_the_end_of_each_languages_file(tmp_path: Path) -> None:
    for code, rows in (("de", 3), ("en", 9), ("sw", 1)):
        numbered(tmp_path / f"own-{code}.tsv", rows)
    location = DataLocation(file=str(tmp_path / "own-{lang}.tsv#2-6"))
    xnli = get_task("xnli")
    german, english = (load(xnli, "test", code, location) for code in ("de", "en"))
    assert [row.id for row in german.rows] == ["2", "3"]
    assert german.origin["ended"] == "rows 2-6 were requested, but the file ends at row 3"
    assert german.notes == (f"{german.origin['file']}: {german.origin['ended']}",)
    assert len(english.rows) == 5
    assert english.notes == ()
    with pytest.raises(DataError, match="rows 2-6 were requested, but the file has fewer"):
        load(xnli, "test", "sw", location)
    with pytest.raises(DataError, match="rows 2-6 were requested, but the file has fewer"):
        load(xnli, "test", "de", DataLocation(file=str(tmp_path / "own-de.tsv#2-6")))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = numbered(tmp_path / "own.tsv", 1)

    def refuse(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"own\.tsv: cannot be read: Permission denied"):
        load(get_task("mnli"), "train", "en", DataLocation(file=str(path)))
