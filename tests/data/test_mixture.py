"""The English sentence-pair tasks and their mixture, on files in the form of each release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data.fingerprint import fingerprint
from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.load import FOLDER_VARIABLE, DataLocation, available, load
from adapterstilts.data.rows import PairRow
from adapterstilts.errors import ConfigError, DataError, MissingDataError
from adapterstilts.tasks.lookup import get_task

PLUS, QQP = get_task("anli_plus"), get_task("qqp")
HEADER = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"


@pytest.fixture(autouse=True)
def no_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def write(path: Path, *records: dict[str, Any], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + end for each in records), encoding="utf-8", newline="")


def anli(key: str, label: str | None = "e") -> dict[str, Any]:
    labelled = {} if label is None else {"label": label}
    return {"uid": key, "model_label": "c", "context": f"c{key}", "hypothesis": f"h{key}", **labelled}


def pair(key: str, label: str = "neutral") -> dict[str, Any]:
    return {"annotator_labels": [label], "captionID": "x", "gold_label": label, "pairID": key,
            "sentence1": f"p{key}", "sentence2": f"q{key}"}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """ANLI's three rounds, MultiNLI and SNLI, in the folders of their releases."""
    for number in (1, 2, 3):
        write(tmp_path / f"anli_v1.0/R{number}/train.jsonl", anli(f"r{number}-a", "enc"[number - 1]))
        write(tmp_path / f"anli_v1.0/R{number}/dev.jsonl", anli(f"d{number}"))
    write(tmp_path / "multinli_1.0/multinli_1.0_train.jsonl", pair("1n"), pair("2e", "-"))
    write(tmp_path / "multinli_1.0/multinli_1.0_dev_matched.jsonl", pair("3n"))
    write(tmp_path / "snli_1.0/snli_1.0_train.jsonl", pair("1n", "contradiction"), pair("9", "-"), end="\r\n")
    write(tmp_path / "snli_1.0/snli_1.0_dev.jsonl", pair("4n"))
    return tmp_path


# --- ANLI and SNLI


def test_the_rounds_of_anli_are_read_in_order(folder: Path) -> None:
    found = load(get_task("anli"), "train", "en", DataLocation(data_dir=folder))
    assert found.rows == (
        PairRow("r1-a", "cr1-a", "hr1-a", "entailment"),
        PairRow("r2-a", "cr2-a", "hr2-a", "neutral"),
        PairRow("r3-a", "cr3-a", "hr3-a", "contradiction"),
    )


def test_all_rounds_must_be_there(folder: Path) -> None:
    (folder / "anli_v1.0/R2/train.jsonl").unlink()
    with pytest.raises(MissingDataError, match=r"no anli_v1\.0/R1/train\.jsonl\+anli_v1\.0/R2/train\.jsonl"):
        load(get_task("anli"), "train", "en", DataLocation(data_dir=folder))


def test_pairs_of_snli_without_gold_are_left_out_and_counted(folder: Path) -> None:
    found = load(get_task("snli"), "train", "en", DataLocation(data_dir=folder))
    assert found.rows == (PairRow("1n", "p1n", "q1n", "contradiction"),)
    assert found.origin["dropped"] == 1


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (anli("x", None), HiddenLabelsError, "line 2: no label"),
        (anli("x", "contradictory"), DataError, "line 2: label 'contradictory' is not one of anli's"),
        ({"uid": "x", "label": "e", "hypothesis": "h"}, DataError, "line 2: no field 'sentence1'"),
    ],
)
def test_malformed_anli(folder: Path, record: dict[str, Any], error: type[DataError], message: str) -> None:
    write(folder / "anli_v1.0/R1/train.jsonl", anli("a"), record)
    with pytest.raises(error, match=rf"R1/train\.jsonl, {message}"):
        load(get_task("anli"), "train", "en", DataLocation(data_dir=folder))


# --- the mixture


def test_the_parts_are_joined_in_order(folder: Path) -> None:
    found = load(PLUS, "train", "en", DataLocation(data_dir=folder))
    assert [row.id for row in found.rows] == ["anli/r1-a", "anli/r2-a", "anli/r3-a", "mnli/1n", "snli/1n"]
    assert found.fingerprint == fingerprint(found.rows)
    assert (found.origin["kind"], found.origin["rows"], found.origin["dropped"]) == ("mixture", 5, 2)
    parts = [(each["task"], each["kind"], each["rows"], each["dropped"]) for each in found.origin["parts"]]
    assert parts == [("anli", "folder", 3, 0), ("mnli", "folder", 1, 1), ("snli", "folder", 1, 1)]
    assert [row.id for row in load(PLUS, "dev", "en", DataLocation(data_dir=folder)).rows] == [
        "anli/d1", "anli/d2", "anli/d3", "mnli/3n", "snli/4n",
    ]  # fmt: skip


def test_a_limit_counts_the_rows_of_all_parts(folder: Path) -> None:
    assert len(load(PLUS, "train", "en", DataLocation(data_dir=folder), limit=2).rows) == 2


def test_a_missing_part_is_named(folder: Path) -> None:
    assert available(PLUS, "train", DataLocation(data_dir=folder)) == ("en",)
    (folder / "snli_1.0/snli_1.0_train.jsonl").unlink()
    assert available(PLUS, "train", DataLocation(data_dir=folder)) == ()
    with pytest.raises(
        MissingDataError, match="anli_plus combines anli, mnli, snli, but: no train data of snli"
    ):
        load(PLUS, "train", "en", DataLocation(data_dir=folder))


def test_one_revision_for_several_datasets_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="one revision cannot name"):
        load(PLUS, "train", "en", DataLocation(data_dir=folder, revision="main"))


def test_an_explicit_file_stands_for_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("a\tb\tcontradictory\nc\td\tentailment\n")
    found = load(PLUS, "train", "en", DataLocation(file=str(path)))
    assert [row.label for row in found.rows if isinstance(row, PairRow)] == ["contradiction", "entailment"]


# --- Quora Question Pairs


def qqp(tmp_path: Path, content: str) -> tuple[PairRow, ...]:
    path = tmp_path / "QQP/train.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")
    rows = load(QQP, "train", "en", DataLocation(data_dir=tmp_path)).rows
    return tuple(row for row in rows if isinstance(row, PairRow))


def test_glue_questions_with_quotes_and_crlf(tmp_path: Path) -> None:
    content = HEADER + '7\t1\t2\tWhat is ""x""?\t"Why?\t1\n8\t3\t4\tA?\tB?\t0\n'
    expected = (
        PairRow("7", 'What is ""x""?', '"Why?', "duplicate"),
        PairRow("8", "A?", "B?", "not_duplicate"),
    )
    assert qqp(tmp_path, content) == expected
    assert qqp(tmp_path, content.replace("\n", "\r\n")) == expected


def test_questions_broken_over_lines_are_joined(tmp_path: Path) -> None:
    content = HEADER + "7\t1\t2\tWhat\n\nis x?\tWhy\nso?\t1\n8\t3\t4\tA?\tB?\t0\n"
    assert qqp(tmp_path, content) == (
        PairRow("7", "What  is x?", "Why so?", "duplicate"),
        PairRow("8", "A?", "B?", "not_duplicate"),
    )


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            "7\t1\t2\tA?\tB?\n8\t3\t4\tA?\tB?\t0\n",
            DataError,
            "line 2: 10 tab-separated columns .*up to line 3",
        ),
        ("7\t1\t2\tA?\tB?\t0\n\n8\t3\t4\tA?\tB?\t0\n", DataError, "line 3: 1 tab-separated columns"),
        ("7\t1\t2\tA?\tB?\t0\n8\t3\t4\tA?\tB?", DataError, "line 3: .*too few columns, and the file ends"),
        ("7\t1\t2\tA?\tB?\t0\tx\n", DataError, "line 2: 7 tab-separated columns where the header has 6"),
        ("7\t1\t2\tA?\tB?\t2\n", DataError, "line 2: label '2' is not one of qqp's"),
        ("7\t1\t2\tA?\tB?\t\n", HiddenLabelsError, "line 2: no label"),
        ("7\t1\t2\tA?\tB?\t0\nstray\n8\t3\t4\tA?\tB?\t0\n", DataError, "line 3: a record begins with its id"),
        ("7\t1\t2\t\t \t0\n", DataError, "line 2: both texts are empty"),
    ],
)
def test_malformed_questions(tmp_path: Path, content: str, error: type[DataError], message: str) -> None:
    with pytest.raises(error, match=message):
        qqp(tmp_path, HEADER + content)


def test_the_test_file_has_its_labels_hidden(tmp_path: Path) -> None:
    with pytest.raises(HiddenLabelsError, match="line 2: no label"):
        qqp(tmp_path, "id\tquestion1\tquestion2\n0\tA?\tB?\n")
