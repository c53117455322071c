"""Files that are handed out without labels: refused, unless rows for prediction alone are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.load import DataLocation, available, load
from adapterstilts.data.rows import ChoiceRow, PairRow, QuestionRow, RetrievalRow, Row, TaggedRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Split

Write = Callable[..., None]

ANSWER = {"text": "", "answer_start": 0}  # as XTREME blanks it
COPA = {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return run


def squad(*answers: dict[str, object]) -> str:
    asked = [
        {"id": f"q{n}", "question": "Who?", "answers": [answer]} for n, answer in enumerate(answers, start=1)
    ]
    return json.dumps({"data": [{"title": "Paris", "paragraphs": [{"context": "Anna went.", "qas": asked}]}]})


def lines(*records: dict[str, object]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


BLANKED = lines(*({**COPA, "idx": n, "label": 0} for n in range(100)))
COSMOS = "id,context,question,answer0,answer1,answer2,answer3\nx,c,q,a,b,c,d\n"
SORTED = "".join(f"sentence {n:02d}\n" for n in range(20))
HIDDEN: list[tuple[str, str, dict[str, str], Row]] = [
    ("xnli", "de", {"xnli/test-de.tsv": "a\tb\nc\td\n"}, PairRow("1", "a", "b", None)),
    ("pawsx", "de", {"pawsx/test-de.tsv": "a\tb\n"}, PairRow("1", "a", "b", None)),
    ("panx", "de", {"panx/test-de.tsv": "Anna\nging\n\nSie\n"}, TaggedRow("1", ("Anna", "ging"), None)),
    ("tydiqa", "sw", {"tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.sw.dev.json": squad(ANSWER, ANSWER)},
     QuestionRow("q1", "Who?", "Anna went.", None)),
    ("xcopa", "sw", {"xcopa/test-sw.jsonl": BLANKED},
     ChoiceRow("0", "p What was the cause?", ("a", "b"), None)),
    ("cosmosqa", "en", {"cosmosqa/valid.csv": COSMOS}, ChoiceRow("x", "c q", tuple("abcd"), None)),
    ("tatoeba", "de", {"tatoeba/tatoeba.deu-eng.deu": SORTED, "tatoeba/tatoeba.deu-eng.eng": SORTED},
     RetrievalRow("1", "sentence 00", "query")),
    ("bucc2018", "de", {"bucc2018/de-en.test.de": "de-1\tx\n", "bucc2018/de-en.test.en": "en-1\ty\n"},
     RetrievalRow("de-1", "x", "query")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "language", "files", "first"), HIDDEN, ids=[each[0] for each in HIDDEN])
def test_rows_without_labels(
    tmp_path: Path, name: str, language: str, files: dict[str, str], first: Row
) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    task, location = get_task(name), DataLocation(data_dir=tmp_path)
    split: Split = "dev" if name == "cosmosqa" else "test"
    with pytest.raises(HiddenLabelsError):
        load(task, split, language, location)
    assert available(task, split, location) == ()
    assert available(task, split, location, hidden=True) == (language,)
    found = load(task, split, language, location, hidden=True)
    assert found.hidden
    assert found.rows[0] == first


def test_labelled_rows_are_not_hidden(tmp_path: Path, write: Write) -> None:
    write(**{"xnli__test-de.tsv": "a\tb\tneutral\n"})
    found = load(get_task("xnli"), "test", "de", DataLocation(data_dir=tmp_path), hidden=True)
    assert not found.hidden
    assert "labels" not in found.origin


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("xnli", "a\tb\tneutral\nc\td\n", "line 2: two columns"),
        ("xnli", "a\tb\nc\td\tneutral\n", "line 1: two columns"),
        ("panx", "Anna\tB-PER\nging\n", "line 2: no tag"),
        ("tydiqa", squad({"text": "Anna", "answer_start": 0}, ANSWER), "question q2: its answer is blanked"),
    ],
)
def test_a_file_of_which_some_labels_are_missing_is_an_error(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / "file.tsv").write_text(text, encoding="utf-8")
    task = get_task(name)
    with pytest.raises(HiddenLabelsError, match=message):
        load(task, "test", task.languages[0], DataLocation(file=str(tmp_path / "file.tsv")), hidden=True)


def test_another_mistake_in_a_file_without_labels_is_told(tmp_path: Path) -> None:
    (tmp_path / "file.tsv").write_text("a\tb\nc\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: 1 tab-separated columns"):
        load(get_task("xnli"), "test", "de", DataLocation(file=str(tmp_path / "file.tsv")), hidden=True)


TABLE = "name: mine\nformat: csv\nlanguages: [en]\nfiles: {train: train.csv, test: test.csv}\n"


@pytest.mark.parametrize(
    ("definition", "text", "first"),
    [
        ("kind: sequence\nlabels: [x, y]\ncolumns: {first: a, label: b}\n", "a\nt\n",
         PairRow("1", "t", None, None)),
        ("kind: tagging\nlabels: [O, X]\ncolumns: {tokens: a, tags: b}\n", "a,b\nt u,\n",
         TaggedRow("1", ("t", "u"), None)),
        ("kind: span\ncolumns: {question: a, context: b, answer: c, start: d}\n", "a,b,c,d\nq,t,,\n",
         QuestionRow("1", "q", "t", None)),
    ],
)  # fmt: skip
def test_a_table_of_ones_own(tmp_path: Path, definition: str, text: str, first: Row) -> None:
    (tmp_path / "test.csv").write_text(text, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(TABLE + definition, encoding="utf-8")
    task = get_task(str(tmp_path / "mine.yaml"))
    with pytest.raises(HiddenLabelsError):
        load(task, "test", "en", DataLocation())
    assert load(task, "test", "en", DataLocation(), hidden=True).rows == (first,)
