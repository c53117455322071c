"""Each form of a submission's files, by hand, as XTREME's evaluate.py reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import MissingDataError
from adapterstilts.report.xtreme_submission import Answers, suffix, text_of
from adapterstilts.tasks.lookup import get_task


def text(task: str, predictions: list[dict[str, Any]], rows: Any = None, **metrics: float) -> str:
    return text_of(Answers(get_task(task), predictions, metrics, rows))


def test_labels_are_spelled_as_xtreme_does():
    labels = [{"id": "1", "label": "entailment"}, {"id": "2", "label": "contradiction"}]
    assert text("xnli", labels) == "entailment\ncontradiction\n"
    pairs = [{"id": "1", "label": "paraphrase"}, {"id": "2", "label": "different"}]
    assert text("pawsx", pairs) == "1\n0\n"


def test_sentences_are_apart_by_one_empty_line():
    assert text("panx", [{"tags": ["O", "B-PER"]}, {"tags": ["O"]}]) == "O\nB-PER\n\nO\n"


def test_answers_stand_under_the_ids_of_the_release():
    found = text(
        "tydiqa",
        [
            {"id": "a-1", "text": "x"},
            {"id": "a-1#2", "text": "y"},
            {"id": "b#2", "text": "“ü”"},
            {"id": "c", "text": ""},
        ],
    )
    assert json.loads(found) == {"a-1": "x", "b#2": "“ü”", "c": ""}


def test_choices_are_json_lines():
    assert text("xcopa", [{"choice": 1}, {"choice": 0}]) == '{"label": 1}\n{"label": 0}\n'


def test_pairs_reach_the_threshold():
    found = [
        {"id": "de-1", "candidate": "en-7", "score": 1.2}, {"id": "de-2"},
        {"id": "de-3", "candidate": "en-8", "score": 1.1}, {"id": "de-4", "candidate": "en-9", "score": 1.0},
    ]  # fmt: skip
    assert text("bucc2018", found, threshold=1.1) == "de-1\ten-7\nde-3\ten-8\n"


def test_tatoeba_has_a_place_for_each_english_sentence_in_sorted_order():
    rows = []
    for row_id, english in (("1", "Come."), ("2", "All left."), ("3", "Be quiet.")):
        rows += [RetrievalRow(row_id, "?", "query"), RetrievalRow(f"en-{row_id}", english, "candidate")]
    found = [{"id": "1", "reverse": "1"}, {"id": "2", "reverse": "3"}, {"id": "3", "reverse": "3"}]
    assert text("tatoeba", found, rows) == "2\n2\n0\n"  # All left, Be quiet, Come
    with pytest.raises(MissingDataError, match="its sentences were not found"):
        text("tatoeba", found)
    with pytest.raises(MissingDataError, match="repeat it"):
        text("tatoeba", [{"id": "1"}], rows)


def test_entities_are_ranked():
    found = [{"id": "m1", "neighbours": [{"id": "Q2", "score": 0.9}, {"id": "Q1", "score": 0.8}]}]
    assert json.loads(text("mewslix", found)) == {"m1": ["Q2", "Q1"]}


def test_endings_are_those_that_evaluate_py_looks_for():
    endings = {"xquad": "json", "mlqa": "json", "tydiqa": "json", "mewslix": "json", "xcopa": "jsonl"}
    endings |= dict.fromkeys(("xnli", "pawsx", "udpos", "panx", "bucc2018", "tatoeba"), "tsv")
    assert {name: suffix(get_task(name)) for name in endings} == endings


def test_files_are_those_that_the_official_script_scored():
    cases = json.loads((Path(__file__).parents[1] / "kinds" / "parity" / "cases.json").read_text("utf-8"))
    tagged = cases["xtreme"]["udpos"]["en"]["predictions"]
    sentences = [{"tags": sentence.split()} for sentence in tagged.split("\n\n")]
    assert text("udpos", sentences) == tagged
    chosen = cases["xtreme-r"]["xcopa"]["et"]["predictions"]
    assert text("xcopa", [{"choice": json.loads(line)["label"]} for line in chosen.splitlines()]) == chosen
    answered = cases["xtreme"]["mlqa"]["zh"]["predictions"]
    found = text("mlqa", [{"id": row_id, "text": answer} for row_id, answer in answered.items()])
    assert json.loads(found) == answered
    ranked = cases["xtreme-r"]["mewslix"]["ja"]["predictions"]
    rows = [{"id": row_id, "neighbours": [{"id": each} for each in ids]} for row_id, ids in ranked.items()]
    assert json.loads(text("mewslix", rows)) == ranked
