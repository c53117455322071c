"""Tasks of one's own: what a YAML file may say, and how each mistake in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterstilts.data.load import DataLocation, available, load
from adapterstilts.errors import ConfigError, DataError, MissingDataError
from adapterstilts.tasks.lookup import get_task

PAIRS = """\
name: mine
kind: sequence
labels: [yes, no]
languages: [en, no]
format: csv
files: {train: pairs.csv, test: "{lang}.csv"}
columns: {first: text, label: class}
"""
SPANS = "name: mine\nkind: span\nformat: tsv\nfiles: {train: a.tsv}\ncolumns: {question: q, context: c, X}\n"


def write(folder: Path, text: str = PAIRS, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content, encoding="utf-8", newline="")
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_a_task_where_a_name_is(tmp_path: Path) -> None:
    """`yes` and `no` are labels, and `no` a language: no scalar is anything but its text."""
    task = get_task(
        str(write(tmp_path, pairs_csv='text,class\r\n"a, b",yes\r\nc,no\r\n', no_csv="text,class\nd,no\n"))
    )
    assert (task.labels, task.languages, task.metric, task.trained_on) == (
        ("yes", "no"),
        ("en", "no"),
        "accuracy",
        "mine",
    )
    rows = load(task, "train", "en", DataLocation()).rows
    assert [(row.first, row.second, row.label) for row in rows] == [("a, b", None, "yes"), ("c", None, "no")]  # type: ignore[union-attr]
    assert available(task, "test", DataLocation()) == ("no",)
    assert load(task, "test", "no", DataLocation()).origin["file"] == "no.csv"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("labels:", "lables:", 3, "unknown task key 'lables': did you mean 'labels'"),
        ("kind: sequence", "kind: pairs", 2, "kind: should be 'sequence', 'tagging'"),
        ("kind: sequence", "kind: span", 3, "labels: a span task has no labels"),
        ("labels: [yes, no]", "title: x", None, "labels: a sequence task requires labels"),
        ("[yes, no]", "[yes, yes]", 3, "labels: 'yes' occurs twice"),
        ("name: mine", "name: xnli", 1, "name: 'xnli' is a task of the package"),
        ("name: mine", "name: squad", 1, "name: 'squad' is a task of the package"),
        ("name: mine", "name: a/b", 1, "name: 'a/b' must consist of small letters"),
        ("[en, no]", "[no]", 4, "languages: training data is English"),
        ("[en, no]", "[en, norsk]", 4, "languages: 'norsk' is not an ISO 639 code"),
        ("format: csv", "format: xlsx", 5, "format: columns require a table (tsv, csv, jsonl, parquet), not"),
        ("columns: {first: text, label: class}", "metric: f1", 7, "metric: a sequence task is scored by acc"),
        ("columns: {first: text, label: class}", "", None, "columns: csv requires columns: first, label"),
        ("label: class", "lable: class", 7, "columns: unknown field of a sequence task 'lable': did you"),
        (", label: class", "", 7, "columns: no column is specified for 'label'"),
        ('"{lang}.csv"', "all.csv", 6, "files: all.csv does not name its language"),
        ("{train: pairs", "{trian: pairs", 6, "files.trian: should be 'train', 'dev' or 'test'"),
        ("train: pairs.csv, ", "", None, "trained_on: the task has no train split"),
        ("name: mine", "name: mine\ntrained_on: mnli", 2, "trained_on: mnli has another kind or"),
        ("name: mine", "name: mine\ntrained_on: mlni", 2, "trained_on: unknown task 'mlni': did you mean"),
        ("name: mine", "name: mine\nname: other", 2, "'name' occurs twice"),
        ("name: mine", "name: mine\nlabel_names: {j: ja}", 2, "label_names: unknown label 'ja'"),
        ("name: mine", "name: mine\nfilter: {dev: {split: d}}", 2, "filter: there is no dev split"),
        ("name: mine", "name: mine\ncodes: {de: deu}", 2, "codes: unknown language 'de'"),
        ("labels: [yes, no]", "labels: [yes, no", 4, "not YAML"),
        ("[yes, no]", '[yes, "\\ud83d"]', 3, "the value holds half of a surrogate pair"),
        ("{first: text", '{"\\udead": text', 7, "the value holds half of a surrogate pair"),
        ("name: mine", "name: mine\nhub: {repo: a/b, splts: {train: t}}", 2, "unknown hub key 'splts'"),
        ("name: mine", "name: mine\nhub: {repo: a/b, splits: train}", 2, "hub: splits: should be"),
        ("name: mine", "name: mine\ncodes: {no: en}", 2, "codes: the code 'en' is used for en and no"),
        ("[en, no]", "[en, no, en]", 4, "languages: the code 'en' is used for en and en"),
        ("[yes, no]", "[yes, '']", 3, "labels: a label is empty"),
        ("[yes, no]", "[yes]", 3, "labels: a sequence task needs at least 2 labels"),
        ("name: mine", "name: mine\nlabel_names: {yes: no}", 2, "label_names: 'yes' is a label and cannot"),
        ("first: text", "first: [text, class]", 7, "columns: the column 'class' is used for both 'label'"),
        ("name: mine", "name: &n [*n]", 1, "a value contains itself, or more than 100000 others"),
        ("name: mine", "name: " + "[" * 2000, 1, "not YAML: it has more than 50 levels"),
        ("name: mine", "name: mine\ntitle: {<<: [{a: b}]}", 2, "title: should be a valid string"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int | None, message: str
) -> None:
    assert PAIRS.count(old) == 1
    path = write(tmp_path, PAIRS.replace(old, new))
    with pytest.raises(ConfigError) as error:
        get_task(str(path))
    place = f"{path}: " if line is None else f"{path}, line {line}: "
    assert str(error.value).startswith(place + message)


def test_what_is_no_definition_at_all(tmp_path: Path) -> None:
    for text in ("", "- a list\n", "just text\n"):
        with pytest.raises(ConfigError, match="it should hold keys with values"):
            get_task(str(write(tmp_path, text)))
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read"):
        get_task(str(tmp_path / "nothing.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,klass\na,yes\n", r"pairs\.csv, line 2: no column 'class'.*it has: text, klass"),
        ("text,class\na,yes\nb,maybe\n", r"pairs\.csv, line 3: label 'maybe' is not one of mine's: yes, no"),
        ("text,class\na,yes\nb,\n", r"pairs\.csv, line 3: no label: data without labels"),
        ("text,class\na,yes,no\n", r"pairs\.csv, line 2: 3 fields, but the header has 2"),
        ("text,class\n", r"pairs\.csv: no labelled row of mine in 'en'"),
        ("", r"pairs\.csv: the file is empty"),
    ],
)
def test_a_mistake_in_the_data_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(get_task(str(write(tmp_path, pairs_csv=text))), "train", "en", DataLocation())


def test_a_column_that_tells_the_split_or_the_language(tmp_path: Path) -> None:
    text = PAIRS.replace("{lang}.csv", "pairs.csv").replace(
        "label: class", "label: class, language: lg, id: n"
    )
    text += "filter: {train: {set: TRAIN}, test: {set: TEST}}\ncodes: {no: nob}\n"
    lines = "n,text,class,lg,set\n7,a,yes,en,TRAIN\n8,b,no,en,TEST\n9,c,no,nob,TEST\n"
    task = get_task(str(write(tmp_path, text, pairs_csv=lines)))
    found = {
        (split, code): [row.id for row in load(task, split, code, DataLocation()).rows]  # type: ignore[arg-type]
        for split, code in (("train", "en"), ("test", "en"), ("test", "no"))
    }
    assert found == {("train", "en"): ["7"], ("test", "en"): ["8"], ("test", "no"): ["9"]}
    whole = load(
        task, "train", "en", DataLocation(file=str(tmp_path / "pairs.csv#2-2"))
    )  # every row of a file given so
    assert [row.id for row in whole.rows] == ["8"]
    without = get_task(str(write(tmp_path, text.replace("set: TEST", "split: TEST"))))
    with pytest.raises(DataError, match=r"line 2: no column 'split', which the task names for 'filter'"):
        load(without, "test", "en", DataLocation())


def test_other_kinds_are_read_from_tables_too(tmp_path: Path) -> None:
    tags = "name: t\nkind: tagging\nlabels: [O, B-X]\nformat: jsonl\nfiles: {train: t.jsonl}\n"
    tags += "columns: {tokens: words, tags: tags}\n"
    path = write(
        tmp_path,
        tags,
        t_jsonl='{"words": ["a", "b"], "tags": ["O", "B-X"]}\n{"words": "c d", "tags": "O O"}\n',
    )
    assert [row.tokens for row in load(get_task(str(path)), "train", "en", DataLocation()).rows] == [
        ("a", "b"),
        ("c", "d"),
    ]  # type: ignore[union-attr]
    spans = SPANS.replace("X", "answer: a, start: s")
    path = write(tmp_path, spans, a_tsv="q\tc\ta\ts\nWho?\tIt was Anna.\tAnna\t7\n")
    (question,) = load(get_task(str(path)), "train", "en", DataLocation()).rows
    assert question.answers[0].start == 7  # type: ignore[union-attr, index]
    path = write(tmp_path, spans, a_tsv="q\tc\ta\ts\nWho?\tIt was Anna.\tAnna\t6\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 2: .*'Anna' is not at character 6"):
        load(get_task(str(path)), "train", "en", DataLocation())
    with pytest.raises(ConfigError, match="no column is specified for 'answers'"):
        get_task(str(write(tmp_path, SPANS.replace(", X", ""))))
    choices = "name: c\nkind: choice\nformat: csv\nfiles: {train: c.csv}\nlabel_names: {A: 0, B: 1}\n"
    choices += "columns: {prompt: [story, ask], choices: [one, two], label: right}\n"
    path = write(tmp_path, choices, c_csv="story,ask,one,two,right\nIt rained.,Why?,a,b,B\n")
    (choice,) = load(get_task(str(path)), "train", "en", DataLocation()).rows
    assert (choice.prompt, choice.choices, choice.label) == ("It rained. Why?", ("a", "b"), 1)  # type: ignore[union-attr]


def test_a_release_form_needs_no_columns(tmp_path: Path) -> None:
    text = PAIRS.replace("format: csv", "format: pair").replace("columns: {first: text, label: class}\n", "")
    task = get_task(str(write(tmp_path, text, pairs_csv="a\tb\tyes\n")))
    assert load(task, "train", "en", DataLocation()).rows[0].second == "b"  # type: ignore[union-attr]
    with pytest.raises(
        ConfigError,
        match=r"format: a sequence task reads tsv, csv, jsonl, parquet, .*pair.*not squad",
    ):
        get_task(str(write(tmp_path, text.replace("pair\n", "squad\n"))))


def test_the_definition_is_part_of_the_key_as_far_as_it_decides_results(tmp_path: Path) -> None:
    first = get_task(str(write(tmp_path))).version
    assert get_task(str(write(tmp_path, PAIRS + "licence: CC0\ntitle: Mine\n"))).version == first
    assert get_task(str(write(tmp_path, PAIRS.replace("[yes, no]", "[no, yes]")))).version != first
    assert isinstance(first, str)


def test_a_hub_dataset_is_read_by_its_columns(tmp_path: Path) -> None:
    text = PAIRS.replace("format: csv\n", "").replace(
        'files: {train: pairs.csv, test: "{lang}.csv"}', "hub: {repo: me/mine, splits: {train: train}}"
    )
    hub = get_task(str(write(tmp_path, text))).hub
    assert hub is not None
    assert (hub.repo, hub.reader, hub.columns, hub.splits) == (
        "me/mine",
        "table",
        ("text", "class"),
        {"train": "train"},
    )
    with pytest.raises(ConfigError, match="line 5: unknown hub key 'rpo': did you mean 'repo'"):
        get_task(str(write(tmp_path, text.replace("repo:", "rpo:"))))


def test_sick_is_the_example(shared_data: Path) -> None:
    task = get_task(str(Path(__file__).parents[2] / "examples" / "sick.yaml"))
    assert task.labels == get_task("xnli").labels
    with pytest.raises(MissingDataError, match=r"the data of sick\.yaml"):
        load(task, "train", "en", DataLocation(data_dir=Path(__file__).parent))
    train, dev = (load(task, split, "en", DataLocation(data_dir=shared_data)) for split in ("train", "dev"))
    assert len(train.rows) in (4400, 4500)
    assert len(dev.rows) in (500, 527)
    assert {row.label for row in train.rows} == set(task.labels)  # type: ignore[union-attr]


def test_tags_with_their_scheme_at_the_end_are_refused(tmp_path: Path) -> None:
    """The scorer reads the first letter of a tag: it would take `PER-B PER-I` for two entities."""
    text = "name: mine\nkind: tagging\nformat: token-tag\nfiles: {train: a.tsv}\nlabels: "
    with pytest.raises(ConfigError, match="line 5: labels: 'PER-B' ends in B or I"):
        get_task(str(write(tmp_path, text + "[O, PER-B, PER-I]\n")))
    names = "[O, B-PER, I-PER]\nlabel_names: {PER-B: B-PER, PER-I: I-PER}\n"
    task = get_task(str(write(tmp_path, text + names, a_tsv="Anna\tPER-B\nSmith\tPER-I\n")))
    (row,) = load(task, "train", "en", DataLocation()).rows
    assert row.tags == ("B-PER", "I-PER")  # type: ignore[union-attr]
