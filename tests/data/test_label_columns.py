"""A table without a known label column: an error that lists its columns, unless nothing in it is unread."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.load import DataLocation, load
from adapterstilts.data.rows import Row
from adapterstilts.errors import DataError, StiltsError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task

ReadText = Callable[..., list[Row]]
OWN = "name: mine\nkind: sequence\nlabels: [a, b]\nformat: {}\nfiles: {{train: t, test: u}}\ncolumns: {}\n"


def loaded(tmp_path: Path, task: str, content: str, language: str = "en") -> Any:
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8")
    return load(get_task(task), "test", language, DataLocation(file=str(path)), hidden=True)


RECORDS: dict[str, dict[str, Any]] = {
    "xnli": {"premise": "a", "hypothesis": "b"},
    "pawsx": {"sentence1": "a", "sentence2": "b"},
    "hellaswag": {"ind": 1, "ctx": "a", "endings": list("abcd")},
    "cosmosqa": {"id": "1", "context": "a", "question": "b", **{f"answer{n}": "c" for n in range(4)}},
    "csqa": {"question": "q", "choices": {"label": list("ABCDE"), "text": list("vwxyz")}},
    "siqa": {"context": "a", "question": "b", "answerA": "c", "answerB": "d", "answerC": "e"},
    "xcopa": {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause"},
}


@pytest.mark.parametrize("name", ["gold", "labels", "Label", "LABEL", "answer", "target", "class", "y"])
@pytest.mark.parametrize("task", list(RECORDS))
def test_another_name_for_the_label(tmp_path: Path, task: str, name: str) -> None:
    language = "en"
    with pytest.raises(
        DataError, match=f"line 1: no column '.*' for the label .*; not read: {name}"
    ) as caught:
        loaded(tmp_path, task, json.dumps({**RECORDS[task], name: 1}), language)
    assert not isinstance(caught.value, HiddenLabelsError)
    assert all(column in str(caught.value) for column in RECORDS[task])


@pytest.mark.parametrize("task", list(RECORDS))
def test_labels_that_are_hidden_and_why(tmp_path: Path, task: str) -> None:
    for record in (RECORDS[task], {**RECORDS[task], "label" if task != "csqa" else "answerKey": None}):
        found = loaded(tmp_path, task, json.dumps(record))
        assert found.hidden
        assert found.origin["labels"] == "hidden"
        assert "line 1: no " in found.origin["reason"]
        assert found.notes == (f"no labels: {found.origin['reason']}",)


def test_glue_hands_out_test_data_with_columns_that_hold_no_label(tmp_path: Path) -> None:
    header = "index\tpromptID\tpairID\tgenre\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\n"
    assert loaded(tmp_path, "mnli", header + "0\t1\t1n\tx\t()\t()\ta\tb\n").hidden
    assert loaded(tmp_path, "qqp", "id\tquestion1\tquestion2\n0\ta\tb\n").hidden


@pytest.mark.parametrize("key", ["answer", "gold", "Answers", "detected_answers"])
def test_questions_with_another_name_for_the_answers(tmp_path: Path, key: str) -> None:
    asked = {"id": "1", "question": "Where?", key: [{"text": "Rome", "answer_start": 0}]}
    squad = {"data": [{"title": "t", "paragraphs": [{"context": "Rome.", "qas": [asked]}]}]}
    with pytest.raises(DataError, match=rf"article 1 .*no column 'answers' .*not read: {key}"):
        loaded(tmp_path, "xquad", json.dumps(squad))
    asked.pop(key)
    assert loaded(tmp_path, "xquad", json.dumps(squad)).hidden


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("tsv", "text\tclass\none\ta\n"),
        ("csv", "text,class\none,a\n"),
        ("jsonl", '{"text": "one", "class": "a"}\n'),
    ],
)
def test_a_column_that_a_definition_names_and_the_table_has_not(
    own_task: Callable[..., Task], form: str, content: str
) -> None:
    definition = OWN.format(form, "{first: text, label: klass}")
    task = own_task(definition, t=content, u=content)
    for split in ("train", "test"):
        with pytest.raises(DataError, match=r"no column 'klass' .*it has: text, class; not read: class"):
            load(task, split, "en", DataLocation(), hidden=True)  # type: ignore[arg-type]
    without = content.replace("\tclass", "").replace("\ta", "").replace(",class", "").replace(",a", "")
    without = without.replace(', "class": "a"', "")
    found = load(own_task(definition, t=content, u=without), "test", "en", DataLocation(), hidden=True)
    assert found.hidden
    assert "no column 'klass'" in found.origin["reason"]


def test_one_language_without_labels_is_no_reason_to_hide_them(tmp_path: Path) -> None:
    (tmp_path / "gold-en.tsv").write_text("premise\thypothesis\tgold\na\tb\tneutral\n", encoding="utf-8")
    (tmp_path / "gold-de.tsv").write_text("premise\thypothesis\tlabel\na\tb\tneutral\n", encoding="utf-8")
    location = DataLocation(file=str(tmp_path / "gold-{lang}.tsv"))
    assert not load(get_task("xnli"), "test", "de", location, hidden=True).hidden
    with pytest.raises(StiltsError, match=r"gold-en\.tsv, line 2: no column 'label'"):
        load(get_task("xnli"), "test", "en", location, hidden=True)


def test_two_columns_for_the_label(tmp_path: Path) -> None:
    record = {**RECORDS["xnli"], "label": "neutral", "gold_label": "neutral"}
    assert not loaded(tmp_path, "xnli", json.dumps(record)).hidden
    with pytest.raises(
        DataError, match="line 1: several columns for the label, which differ: gold_label 'x'"
    ):
        loaded(tmp_path, "xnli", json.dumps({**record, "gold_label": "x"}))


def test_only_some_records_without_a_label(tmp_path: Path) -> None:
    record = RECORDS["xnli"]
    both = f"{json.dumps({**record, 'label': 'neutral'})}\n{json.dumps(record)}\n"
    with pytest.raises(HiddenLabelsError, match="line 2: no label"):
        loaded(tmp_path, "xnli", both)
