"""Training data in XTREME's translate-train form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.load import DataLocation
from adapterstilts.data.rows import Answer, PairRow, QuestionRow
from adapterstilts.errors import ConfigError, DataError, MissingDataError
from adapterstilts.run.training_data import _load_translated
from adapterstilts.tasks.lookup import get_task

MNLI, SQUAD = get_task("mnli"), get_task("squad_v1")


@pytest.fixture
def template(tmp_path: Path) -> str:
    """Two languages' files: originals, translations, label; no header, no quoting."""
    for code in ("de", "sw"):
        lines = [f'a{n}\tb{n}\t{code} "a{n}\t{code} b{n}\t{label}' for n, label in enumerate(LABELS)]
        (tmp_path / f"en-{code}-translated.tsv").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    return str(tmp_path / "en-{lang}-translated.tsv")


LABELS = ("neutral", "contradictory", "entailment")


def test_the_translations_of_each_language_in_order(template: str) -> None:
    found = _load_translated(MNLI, ("sw", "de"), DataLocation(file=template))
    assert [row.id for row in found.rows] == ["sw/1", "sw/2", "sw/3", "de/1", "de/2", "de/3"]
    assert found.rows[1] == PairRow("sw/2", 'sw "a1', "sw b1", "contradiction", ("a1", "b1"))
    assert [(part["language"], part["rows"]) for part in found.origin["parts"]] == [("sw", 3), ("de", 3)]


def test_a_limit_and_a_slice_hold_for_each_language(template: str) -> None:
    assert len(_load_translated(MNLI, ("sw", "de"), DataLocation(file=template), limit=2).rows) == 4
    rows = _load_translated(MNLI, ("de",), DataLocation(file=template + "#2-3")).rows
    assert [row.id for row in rows] == ["de/2", "de/3"]


def test_pairs_of_which_nothing_was_translated_are_left_out(tmp_path: Path) -> None:
    """PAWS-X's translated training data has such lines."""
    path = tmp_path / "de.tsv"
    path.write_text("a\tb\tneutral\n\t\tneutral\nc\td\tneutral\n", encoding="utf-8")
    found = _load_translated(MNLI, ("de",), DataLocation(file=str(path)))
    assert [row.id for row in found.rows] == ["de/1", "de/3"]
    assert found.origin["parts"][0]["dropped"] == 1


def test_one_file_needs_no_language(template: str) -> None:
    rows = _load_translated(MNLI, (), DataLocation(file=template.replace("{lang}", "de"))).rows
    assert [row.id for row in rows] == ["translated/1", "translated/2", "translated/3"]


def test_languages_and_template_fit_together(template: str) -> None:
    with pytest.raises(ConfigError, match="--translated-languages"):
        _load_translated(MNLI, (), DataLocation(file=template))
    with pytest.raises(ConfigError, match="is one file, but 2 languages were passed"):
        _load_translated(MNLI, ("de", "sw"), DataLocation(file="en-de-translated.tsv"))
    with pytest.raises(MissingDataError, match=r"there is no file .*en-fr-translated\.tsv"):
        _load_translated(MNLI, ("de", "fr"), DataLocation(file=template))


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("a\tb\tc\td", DataError, "line 2: 4 tab-separated columns, not 3 .* or 5"),
        ("a\tb\tc\td\t", HiddenLabelsError, "line 2: no label"),
        ("a\tb\tc\td\tNeutral", DataError, "line 2: label 'Neutral' is not one of mnli's"),
    ],
)
def test_malformed_translations(tmp_path: Path, line: str, error: type[DataError], message: str) -> None:
    (tmp_path / "en-de.tsv").write_text(f"a\tb\tc\td\tneutral\n{line}\n")
    with pytest.raises(error, match=message):
        _load_translated(MNLI, ("de",), DataLocation(file=str(tmp_path / "en-de.tsv")))


def test_translated_questions_without_the_place_of_their_answer_are_left_out(tmp_path: Path) -> None:
    questions = [
        {"id": key, "question": "Wer?", "answers": [{"text": text, "answer_start": 0}]}
        for key, text in (("a", "Anna"), ("b", "Anne"))
    ]
    paragraphs = [{"context": "Anna ging nach Paris.", "qas": questions}]
    path = tmp_path / "squad.translate.train.en-de.json"
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}], "version": "1.1"}))
    found = _load_translated(SQUAD, ("de",), DataLocation(file=str(path)))
    assert found.rows == (QuestionRow("de/a", "Wer?", "Anna ging nach Paris.", (Answer("Anna", 0),)),)
    assert found.origin["parts"][0]["dropped"] == 1
    with pytest.raises(DataError, match="question b: the answer 'Anne' is not at character 0"):
        _load_translated(SQUAD, ("en",), DataLocation(file=str(path)))
