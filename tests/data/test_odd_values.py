"""Values that fit no column: each an error with file and line, whatever their type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data.load import DataLocation, load
from adapterstilts.data.release_files import read
from adapterstilts.data.rows import Answer, QuestionRow, Row
from adapterstilts.data.text import LONGEST_LINE
from adapterstilts.errors import DataError, StiltsError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task

ReadText = Callable[..., list[Row]]
OwnTask = Callable[..., Task]
SPANS = "name: q\nkind: span\nformat: jsonl\nfiles: {train: a.jsonl}\ncolumns: {question: q, context: c, "
LABELLED = "name: s\nkind: sequence\nlabels: [x, y]\nformat: jsonl\nfiles: {train: a.jsonl}\n"


def rows(task: Task) -> tuple[Row, ...]:
    return load(task, "train", "en", DataLocation()).rows


# --- answers


def asked(own_task: OwnTask, answers: str) -> QuestionRow:
    content = f'{{"q": "Where?", "c": "In Oslo.", "a": {answers}}}\n'
    (row,) = rows(own_task(SPANS + "answers: a}\n", **{"a.jsonl": content}))
    assert isinstance(row, QuestionRow)
    return row


@pytest.mark.parametrize(
    "answers",
    [
        '{"text": ["Oslo"], "answer_start": [3]}',
        '{"text": "Oslo", "answer_start": 3}',
        '{"text": "Oslo", "answer_start": "3"}',
        '{"text": "Oslo", "answer_start": 3.0}',
    ],
)
def test_one_answer_may_stand_without_its_list(own_task: OwnTask, answers: str) -> None:
    assert asked(own_task, answers).answers == (Answer("Oslo", 3),)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ('{"text": "Oslo", "answer_start": 3.7}', "a whole number of characters, not 3.7"),
        ('{"text": "Oslo", "answer_start": Infinity}', "is not a JSON number"),
        ('{"text": "Oslo", "answer_start": NaN}', "is not a JSON number"),
        ('{"text": "Oslo", "answer_start": 1e999}', "the number 1e999 is not finite"),
        ('{"text": "Oslo", "answer_start": true}', "a whole number of characters, not true"),
        ('{"text": "Oslo", "answer_start": "3.0"}', "a whole number of characters, not '3.0'"),
        ('{"text": "Oslo", "answer_start": "three"}', "a whole number of characters, not 'three'"),
        ('{"text": "Oslo", "answer_start": "٣"}', "a whole number of characters, not"),
        ('{"text": "Oslo", "answer_start": -1}', "'Oslo' is not at character -1"),
        (f'{{"text": "Oslo", "answer_start": {10**30}}}', "'Oslo' is not at character 1000"),
        ('{"text": "Oslo", "answer_start": [3]}', "two lists of one length, or one of each"),
        ('{"text": ["Oslo"], "answer_start": 3}', "two lists of one length, or one of each"),
        ('{"text": ["Oslo"], "answer_start": []}', "1 answers but 0 places"),
        ('{"text": "Oslo", "answer_start": null}', "a whole number of characters, not null"),
        ('{"text": null, "answer_start": 3}', "field 'answer' should be text, not null"),
        ('{"text": {"a": 1}, "answer_start": 3}', "field 'answer' should be text, not {'a': 1}"),
        ('{"text": null, "answer_start": null}', "no answer: data without labels"),
        ('{"text": [null], "answer_start": [null]}', "no answer: data without labels"),
        ("null", "no answer: data without labels"),
        ('"Oslo"', "'answers' should be an object with the lists"),
        ('[{"text": "Oslo", "answer_start": 3}]', "'answers' should be an object with the lists"),
        ('{"text": ["Oslo"]}', "'answers' should be an object with the lists"),
        ("3", "'answers' should be an object with the lists"),
    ],
)
def test_answers_that_are_none(own_task: OwnTask, answers: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.jsonl, line 1: .*{re.escape(message)}"):
        asked(own_task, answers)


def test_a_number_with_more_digits_than_python_converts(own_task: OwnTask, read_text: ReadText) -> None:
    with pytest.raises(DataError, match="line 1: not valid JSON: a number of"):
        asked(own_task, f'{{"text": "Oslo", "answer_start": {"9" * 5000}}}')
    with pytest.raises(DataError, match="file: not valid JSON: a number of"):
        read_text("xquad", f'{{"data": {"9" * 5000}}}')
    line = "1\tWort\t_\tNOUN\t_\t_\t{}\troot\t{}\t_\n"
    for head, deps in (("9" * 5000, "_"), ("0", f"{'9' * 5000}:root")):
        if head == "0":
            read_text("udpos", line.format(head, deps))
        else:
            with pytest.raises(DataError, match="line 1: the head '999"):
                read_text("udpos", line.format(head, deps))


# --- labels, conditions and ids


@pytest.mark.parametrize(
    ("value", "spelling"),
    [("true", "true"), ("1.0", '"1.0"'), ("1", "1"), ("0.5", "0.5"), ("-1", "-1")],
)
def test_labels_are_spelled_as_in_json(own_task: OwnTask, value: str, spelling: str) -> None:
    definition = LABELLED + f"columns: {{first: t, label: l}}\nlabel_names: {{{spelling}: x}}\n"
    (row,) = rows(own_task(definition, **{"a.jsonl": f'{{"t": "one", "l": {value}}}\n'}))
    assert row.label == "x"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "shown"),
    [("true", "true"), ("1", "1"), ("1.0", "1.0"), ("[1]", "[1]"), ('{"a": 1}', "{'a': 1}"),
     ('" x"', "' x'"), ('"X"', "'X'")],
)  # fmt: skip
def test_labels_that_are_none(own_task: OwnTask, value: str, shown: str) -> None:
    definition = LABELLED + "columns: {first: t, label: l}\n"
    with pytest.raises(DataError, match=re.escape(f"line 1: label {shown} is not one of s's: x, y")):
        rows(own_task(definition, **{"a.jsonl": f'{{"t": "one", "l": {value}}}\n'}))


def test_tags_and_choices_are_spelled_so_too(own_task: OwnTask) -> None:
    definition = "name: t\nkind: tagging\nlabels: [O, B]\nlabel_names: {0: O, 1: B}\nformat: jsonl\n"
    definition += "files: {train: a.jsonl}\ncolumns: {tokens: w, tags: t}\n"
    (row,) = rows(own_task(definition, **{"a.jsonl": '{"w": ["a", "b"], "t": [0, 1]}\n'}))
    assert row.tags == ("O", "B")  # type: ignore[union-attr]
    with pytest.raises(DataError, match="line 1: tag 2 is not one of t's: O, B, 0, 1"):
        rows(own_task(definition, **{"a.jsonl": '{"w": ["a", "b"], "t": [0, 2]}\n'}))
    with pytest.raises(DataError, match=r"line 1: tag \['B'\] is not one of"):
        rows(own_task(definition, **{"a.jsonl": '{"w": ["a", "b"], "t": [0, ["B"]]}\n'}))
    definition = "name: c\nkind: choice\nlabel_names: {false: 0, true: 1}\nformat: jsonl\n"
    definition += "files: {train: a.jsonl}\ncolumns: {prompt: p, choices: [x, y], label: l}\n"
    content = '{"p": "Why?", "x": "a", "y": "b", "l": true}\n'
    assert rows(own_task(definition, **{"a.jsonl": content}))[0].label == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("wanted", "value"), [("true", "true"), ("1", "1"), ("1.5", "1.5"), ("a", '"a"'), ('"null"', "null")]
)
def test_conditions_are_spelled_as_in_json(own_task: OwnTask, wanted: str, value: str) -> None:
    definition = LABELLED + f"columns: {{first: t, label: l}}\nfilter: {{train: {{s: {wanted}}}}}\n"
    content = f'{{"t": "one", "l": "x", "s": {value}}}\n{{"t": "two", "l": "y", "s": "other"}}\n'
    assert [row.id for row in rows(own_task(definition, **{"a.jsonl": content}))] == ["1"]


def test_a_record_without_an_id_gets_its_number(own_task: OwnTask) -> None:
    definition = LABELLED + "columns: {first: t, label: l, id: i}\n"
    content = '{"t": "one", "l": "x", "i": null}\n{"t": "two", "l": "y", "i": 7}\n'
    assert [row.id for row in rows(own_task(definition, **{"a.jsonl": content}))] == ["1", "7"]


# --- tables


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("csv", "t,t,l\none,junk,x\n", "line 1: two columns are named 't'"),
        ("tsv", "t\tl\tt\tl\none\tx\tjunk\ty\n", "line 1: two columns are named 't', 'l'"),
        ("jsonl", '{"t": "one", "t": "junk", "l": "x"}\n', "line 1: .* the key 't' occurs twice"),
        ("tsv", "t\tl\rone\tx\rtwo\ty\r", "line 1: old Mac line ends"),
        ("csv", "t,l\rone,x\rtwo,y\r", "line 1: old Mac line ends"),
        ("jsonl", '{"t": "one", "l": "x"}\r{"t": "two", "l": "y"}\r', "line 1: old Mac line ends"),
        ("tsv", "t\tl\rone\tx\r\n", "line 1: a carriage return inside the header"),
        ("csv", "t,l\n", "no labelled row of s in 'en': a header alone"),
        ("csv", "t;l\none;x\n", "line 1: a header of one column, 't;l': ';' does not separate columns here"),
        ("csv", "t\tl\none\tx\n", "line 1: a header of one column"),
        ("tsv", "t,l\none,x\n", "line 1: a header of one column, 't,l': ','"),
        ("csv", "t,l\none,x,y\n", "line 2: 3 fields, but the header has 2"),
        ("csv", "t,l\n\none,x\n", "line 2: 0 fields, but the header has 2"),
        ("csv", 't,l\none,x\n"two,y\nthree,x\n', "line 3: not valid CSV: .* that ends in line 4"),
        ("jsonl", '[{"t": "one", "l": "x"}]\n', "line 1: not a JSON object but an array"),
        ("jsonl", '[\n{"t": "one", "l": "x"}\n]\n', "line 1: .* the value continues in the next line"),
        ("jsonl", '{\n"t": "one", "l": "x"\n}\n', "line 1: .* the value continues in the next line"),
        ("jsonl", '{"t": ["one", "two"], "l": ["x", "y"]}\n', "line 1: field 'first' should be text"),
        ("jsonl", '{"t": "one", "l": "x"}\n{"t": "two", "l": "y",}\n', "line 2: not valid JSON"),
        ("jsonl", '{"t": "one", "l": "x"}\noops\n{"t": "two", "l": "y"}\n', "line 2: not valid JSON"),
        ("jsonl", '{"t": "one", "l": "x"}\n\n{"t": "two", "l": "y"}\n', "line 2: .* an empty line"),
        ("jsonl", "\n\n\n", "the file is empty"),
    ],
)  # fmt: skip
def test_tables_that_are_none(own_task: OwnTask, form: str, content: str, message: str) -> None:
    definition = LABELLED.replace("jsonl\nfiles", f"{form}\nfiles") + "columns: {first: t, label: l}\n"
    with pytest.raises(DataError, match=rf"a\.jsonl.*{message}"):
        rows(own_task(definition, **{"a.jsonl": content}))


def test_rows_of_other_splits_and_languages_are_counted(own_task: OwnTask, read_text: ReadText) -> None:
    definition = LABELLED + "languages: [en, zh]\ncolumns: {first: t, label: l, language: g}\n"
    content = "".join(f'{{"t": "one", "l": "x", "g": "{code}"}}\n' for code in ("zh-CN", "zh-CN", "de"))
    message = r"no labelled row of s in 'en' among 3: language zh-CN \(2\), language de \(1\)"
    with pytest.raises(DataError, match=message):
        rows(own_task(definition, **{"a.jsonl": content}))
    definition = LABELLED + "columns: {first: t, label: l}\nfilter: {train: {g: no}}\n"
    with pytest.raises(DataError, match=r"among 3: g zh-CN \(2\)"):
        rows(own_task(definition, **{"a.jsonl": content}))
    with pytest.raises(DataError, match=r"no labelled row of xnli in 'de' among 1: language fr"):
        read_text("xnli", "lang\tpremise\thypothesis\tlabel\nfr\ta\tb\tneutral\n", "de")


def test_fields_of_csv_may_be_long(own_task: OwnTask) -> None:
    definition = LABELLED.replace("jsonl\nfiles", "csv\nfiles") + "columns: {first: t, label: l}\n"
    long = "river " * 50_000
    (row,) = rows(own_task(definition, **{"a.jsonl": f't,l\n"{long}",x\n'}))
    assert row.first == long  # type: ignore[union-attr]


# --- text that is none


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("xnli", '{"premise": "a \\ud83d", "hypothesis": "b"}', "line 1: field 'premise' holds half of"),
        ("xnli", '{"premise": "a", "hypothesis": "b", "label": "\\udead"}', "line 1: field 'label' holds"),
        ("xnli", '{"premise": "a", "hypothesis": "b", "id": ["\\uD83D"]}', "field 'id' holds"),
        ("xnli", '{"premise": "a", "\\ud83d": "b"}', "line 1: a key holds half of a surrogate pair"),
        ("xquad", '{"data": [\n{"title": "\\ud83d", "paragraphs": []}]}', "line 2: field 'title' holds half"),
        ("xnli", b'{"premise": "a\xed\xa0\x80"}', "line 1: not UTF-8"),
        ("panx", b"Rome\tB-LOC\nM\xfcnchen\tB-LOC\n", "line 2: not UTF-8 .byte 0xfc at position 2"),
        ("panx", b"Rome\tB-LOC\n\0\tO\n", "line 2: a NUL byte"),
    ],
)  # fmt: skip
def test_text_that_is_none(read_text: ReadText, task: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_text(task, content)


def test_what_is_too_deep_or_too_long(read_text: ReadText) -> None:
    for task, content, message in (
        ("xnli", "[" * 100_000, "line 1: not valid JSON: nested too deep"),
        ("xquad", '{"data": ' + "[" * 100_000, "not valid JSON: nested too deep"),
        ("xnli", "a" * (LONGEST_LINE + 1), "line 1: a line of more than 16,777,216 bytes"),
        ("mlm", "one\n" + "a" * (LONGEST_LINE + 1), "line 2: a line of more than 16,777,216 bytes"),
    ):
        with pytest.raises(DataError, match=message):
            read_text(task, content)


def test_surrogate_pairs_are_text(read_text: ReadText) -> None:
    (row,) = read_text(
        "xnli", '{"premise": "\\ud83d\\ude00 \\\\ud83d", "hypothesis": "b", "label": "neutral"}'
    )
    assert row.first == "\U0001f600 \\ud83d"  # type: ignore[union-attr]


# --- any value anywhere

ODD: tuple[Any, ...] = (None, True, 0, -1, 2.5, float("inf"), 10**40, "", "x", [], ["a"], [[]], {}, {"a": 1})
SQUAD = {"data": [{"title": "t", "paragraphs": [{"context": "Anna.", "qas": [
    {"id": "1", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]}]}]}]}  # fmt: skip
ARTICLE = {
    "context": {"language": "de", "text": "Anna lebt.", "sentence_spans": [{"start": 0, "end": 10}]},
    "mentions": [{"example_id": "1", "entity_id": "Q1",
                  "mention_span": {"start": 0, "end": 4, "text": "Anna"}}],
}  # fmt: skip
VALID: dict[str, Any] = {
    "xnli": {"premise": "a", "hypothesis": "b", "label": "neutral", "pairID": "1", "language": "en"},
    "hellaswag": {"ind": 1, "ctx": "a", "endings": list("abcd"), "label": 1},
    "csqa": {"id": "1", "question": {"stem": "q", "choices": [{"label": c, "text": c} for c in "ABCDE"]},
             "answerKey": "A"},
    "siqa": {"context": "a", "question": "b", "answerA": "c", "answerB": "d", "answerC": "e", "correct": "A"},
    "xcopa": {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 1, "idx": 1},
    "xquad": SQUAD,
    "lareqa": SQUAD,
    "mewslix": ARTICLE,
}  # fmt: skip


def changed(value: Any) -> Iterator[Any]:
    """The value with one part of it replaced by an odd one, in every way."""
    yield from ODD
    if isinstance(value, dict):
        for key in value:
            yield {name: item for name, item in value.items() if name != key}
            yield from ({**value, key: item} for item in changed(value[key]))
    elif isinstance(value, list):
        for n, item in enumerate(value[:1]):
            yield from ([*value[:n], other, *value[n + 1 :]] for other in changed(item))


@pytest.mark.parametrize("task", list(VALID))
def test_any_value_in_any_place_is_read_or_refused(tmp_path: Path, task: str) -> None:
    path = tmp_path / "file.json"
    (tmp_path / "candidate_set_entities.jsonl").write_text(
        '{"entity_id": "Q1", "description": "Anna", "sentence_spans": [{"start": 0, "end": 4}]}\n'
    )
    language = "de" if task == "mewslix" else "en"
    read_rows = 0
    for record in (VALID[task], *changed(VALID[task])):
        path.write_text(json.dumps(record), encoding="utf-8")
        for hidden in (False, True):
            entry = get_task(task).model_copy(update={"hidden": hidden})
            message = ""
            try:
                read_rows += len(list(read(path, entry, language)))
            except StiltsError as error:
                message = str(error)
            assert not message or "file.json" in message
    assert read_rows


TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "sequence": (
        "labels: [x, y]\nfilter: {train: {w: a}}\ncolumns: {first: f, label: l, id: i, language: g}",
        {"f": "a", "l": "x", "i": "1", "g": "en", "w": "a"},
    ),
    "tagging": ("labels: [O, B]\ncolumns: {tokens: w, tags: t}", {"w": ["a", "b"], "t": ["O", "B"]}),
    "span": (
        "columns: {question: q, context: c, answers: a, id: i}",
        {"q": "Who?", "c": "Anna.", "a": {"text": ["Anna"], "answer_start": [0]}, "i": 1},
    ),
    "choice": (
        "columns: {prompt: [p, r], choices: c, label: l}",
        {"p": "It rained.", "r": "Why?", "c": ["a", "b"], "l": 1},
    ),
}


@pytest.mark.parametrize("kind", list(TABLES))
def test_any_value_in_any_column_is_read_or_refused(own_task: OwnTask, tmp_path: Path, kind: str) -> None:
    definition, record = TABLES[kind]
    task = own_task(f"name: t\nkind: {kind}\nformat: jsonl\nfiles: {{train: a.jsonl}}\n{definition}\n")
    counts = 0
    for line in (record, *changed(record)):
        (tmp_path / "a.jsonl").write_text(json.dumps(line), encoding="utf-8")
        message = ""
        try:
            counts += len(load(task, "train", "en", DataLocation(), hidden=True).rows)
        except StiltsError as error:
            message = str(error)
        assert not message or "a.jsonl" in message
    assert counts
