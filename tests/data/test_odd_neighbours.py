"""Files that come close to a release's form: each is read rightly, or refused with what was found."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.load import DataLocation, load
from adapterstilts.data.rows import Row
from adapterstilts.errors import DataError, MissingDataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task

ReadText = Callable[..., list[Row]]
PAIR = b"one\ttwo\tneutral\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"Premise\tHypothesis\tLabel\n" + PAIR,
            "line 1: a header of the columns Premise, ",
        ),
        (b"premise,hypothesis,label\none,two,neutral\n", "line 1: CSV"),
        (b"a\tb\tc\td\tneutral\n" + PAIR, "line 2: 3 tab-separated columns where the lines before have 5"),
        (gzip.compress(gzip.compress(PAIR, mtime=0), mtime=0), "a gzip file inside a gzip file"),
        (
            b'{"premise": "one", "sentence1": "1", "hypothesis": "two", "label": "neutral"}',
            "line 1: the columns sentence1 and premise hold different texts",
        ),
        (b'{"premise": "one", "hypothesis": "two", "label": "neutral", "x": NaN}', "line 1: .*NaN is not"),
    ],
)
def test_pairs(read_text: ReadText, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_text("xnli", content)


def test_the_word_label_may_be_a_sentence(read_text: ReadText) -> None:
    assert len(read_text("xnli", "text\tlabel\tneutral\n" * 2)) == 2


def test_one_text_under_two_names(read_text: ReadText) -> None:
    record = {"premise": "one", "sentence1": "one", "hypothesis": "two", "label": "neutral"}
    assert len(read_text("xnli", json.dumps(record))) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"is_impossible": "true"}, "'is_impossible' should be true or false, not 'true'"),
        ({"is_impossible": 1}, "'is_impossible' should be true or false, not 1"),
        ({"is_impossible": True}, "question '1' is marked as impossible, but has answers"),
    ],
)
@pytest.mark.parametrize("task", ["xquad", "squad_v2"])
def test_impossible_questions(read_text: ReadText, task: str, fields: dict[str, Any], message: str) -> None:
    question = {"id": "1", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}], **fields}
    paragraph = {"context": "Anna.", "qas": [question]}
    with pytest.raises(DataError, match=message) as caught:
        read_text(task, json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))
    assert not isinstance(caught.value, HiddenLabelsError)


SIQA = {"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "c"}


def test_two_answers_that_differ(read_text: ReadText, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: label '1' is not the answer 'C'"):
        read_text("siqa", json.dumps({**SIQA, "correct": "C", "label": "1"}))
    (tmp_path / "file-labels.lst").write_text("1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 1: label 2, but .*file-labels\.lst has '1'"):
        read_text("siqa", json.dumps({**SIQA, "label": 2}))
    assert len(read_text("siqa", json.dumps({**SIQA, "label": 1}))) == 1


def test_a_word_without_its_form(read_text: ReadText) -> None:
    with pytest.raises(DataError, match="line 1: a word without its FORM"):
        read_text("udpos", "1\t\tdog\tNOUN\t_\t_\t0\troot\t_\t_\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_no_data_file(own_task: Callable[..., Task], tmp_path: Path) -> None:
    """A data file is read more than once: with a pipe the second reading would wait without end."""
    task = own_task("name: p\nkind: sequence\nlabels: [x, y]\nformat: pair\nfiles: {train: a.tsv}\n")
    os.mkfifo(tmp_path / "a.tsv")
    with pytest.raises(MissingDataError, match=r"no a\.tsv in"):
        load(task, "train", "en", DataLocation())


def test_a_data_folder_that_does_not_exist_is_refused_for_bundled_data_too(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="nowhere"):
        load(get_task("mini_nli"), "train", "en", DataLocation(data_dir=tmp_path / "nowhere"))


def test_an_empty_choice(own_task: Callable[..., Task]) -> None:
    definition = "name: c\nkind: choice\nformat: csv\nfiles: {train: a.csv}\n"
    definition += "columns: {prompt: p, choices: [x, y], label: l}\n"
    with pytest.raises(DataError, match="line 3: number 1"):
        load(own_task(definition, **{"a.csv": "p,x,y,l\nW,a,b,0\nV,a, ,1\n"}), "train", "en", DataLocation())
