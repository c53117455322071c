"""Packed files: gzip and Parquet are read, other formats are refused by name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.load import DataLocation, load
from adapterstilts.data.release_files import read
from adapterstilts.data.rows import Answer, ChoiceRow, PairRow, QuestionRow, Row, TaggedRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task

ReadText = Callable[..., list[Row]]
PAIRS = b"one\ttwo\tneutral\nthree\tfour\tentailment\n"


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("file.tsv", content)
    return packed.getvalue()


def tarred(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file.tsv"), io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("start", ["PAR1", "BZhang", "Rar!", "ARROW1", "PK", "version", "Obj", "%PDF"])
def test_text_may_begin_as_a_format_does(read_text: ReadText, start: str) -> None:
    (row,) = read_text("xnli", f"{start}\ttwo\tneutral\n")
    assert row.first == start  # type: ignore[union-attr]


def test_gzip_is_read_in_every_form(read_text: ReadText) -> None:
    assert read_text("xnli", gzip.compress(PAIRS)) == read_text("xnli", PAIRS)
    assert read_text("panx", gzip.compress(b"Rome\tB-LOC\n")) == [TaggedRow("1", ("Rome",), ("B-LOC",))]
    squad = {"data": [{"paragraphs": [{"context": "Anna.", "qas": [
        {"id": "a", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]}]}]}]}  # fmt: skip
    assert len(read_text("xquad", gzip.compress(json.dumps(squad).encode()))) == 1


def test_errors_in_gzip_name_the_unpacked_line(read_text: ReadText) -> None:
    with pytest.raises(DataError, match="line 2: two columns"):
        read_text("xnli", gzip.compress(b"a\tb\tneutral\nc\td\n"))
    with pytest.raises(DataError, match="line 1: not UTF-8 text but a bzip2 file"):
        read_text("xnli", gzip.compress(bz2.compress(PAIRS)))


def test_files_that_belong_together_may_be_packed(tmp_path: Path) -> None:
    for side, text in (("deu", b"Ja.\nNein.\n"), ("eng", b"Yes.\nNo.\n")):
        (tmp_path / f"tatoeba.deu-eng.{side}.gz").write_bytes(gzip.compress(text))
    rows = rows_of(tmp_path / "tatoeba.deu-eng.deu.gz", "tatoeba", "de")
    assert [row.text for row in rows] == ["Ja.", "Yes.", "Nein.", "No."]  # type: ignore[union-attr]
    for ending, text in (("de", b"de-1\tJa.\n"), ("en", b"en-1\tYes.\n"), ("gold", b"de-1\ten-1\n")):
        (tmp_path / f"de-en.dev.{ending}.gz").write_bytes(gzip.compress(text))
    assert len(rows_of(tmp_path / "de-en.dev.de.gz", "bucc2018", "de")) == 2


def test_damaged_gzip(read_text: ReadText) -> None:
    packed = gzip.compress(PAIRS * 1000, mtime=0)
    flipped = packed[:40] + bytes([packed[40] ^ 255]) + packed[41:]
    for damaged in (packed[: len(packed) // 2], packed[:12], flipped, packed[:-4] + b"abcd"):
        with pytest.raises(DataError, match="file: a damaged gzip file"):
            read_text("xnli", damaged)


FORMATS = [
    (bz2.compress(PAIRS), "line 1: not UTF-8 text but a bzip2 file"),
    (lzma.compress(PAIRS), "an xz file"),
    (b"\x28\xb5\x2f\xfd\x00", "a Zstandard file"),
    (zipped(PAIRS), "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel or Word file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (tarred(PAIRS), "a tar archive"),
    (gzip.compress(tarred(PAIRS)), "a tar archive"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    (b"\n<!DOCTYPE html>\n<html>", "a web page"),
    ("a\tb\tneutral\n".encode("utf-16"), "line 1: not UTF-8 text but UTF-16 text: convert it"),
    ("a\tb\tneutral\n".encode("utf-16-be"), "line 1: a NUL byte"),
    (b"%PDF-1.7", "a PDF file"),
]


@pytest.mark.parametrize(
    ("content", "name"), FORMATS, ids=[f"{number}-{name}" for number, (_, name) in enumerate(FORMATS)]
)
def test_other_formats_are_named(read_text: ReadText, content: bytes, name: str) -> None:
    for task in ("xnli", "panx", "xquad", "hellaswag", "cosmosqa", "ccg"):
        with pytest.raises(DataError, match=name):
            read_text(task, content)


# --- Parquet


def parquet(path: Path, classes: dict[str, list[str]] | None = None, **columns: list[Any]) -> Path:
    """A Parquet file, with class names where the `datasets` library would write them."""
    table = pa.table(columns)
    if classes:
        features = {name: {"names": names, "_type": "ClassLabel"} for name, names in classes.items()}
        nested = {
            name: {"feature": feature, "_type": "List"} if isinstance(columns[name][0], list) else feature
            for name, feature in features.items()
        }
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": nested}})})
    pq.write_table(table, path)
    return path


def rows_of(path: Path, task: str, language: str = "en") -> list[Row]:
    return [row for item in read(path, get_task(task), language) for row in item]


def test_pairs_and_class_names(tmp_path: Path) -> None:
    names = ["entailment", "neutral", "contradiction"]
    path = parquet(tmp_path / "a", {"label": names}, premise=["a"], hypothesis=["b"], label=[1])
    assert rows_of(path, "xnli") == [PairRow("1", "a", "b", "neutral")]
    parquet(path, {"label": names}, premise=["a"], hypothesis=["b"], label=[-1])
    with pytest.raises(HiddenLabelsError, match="a, row 1: no label"):
        rows_of(path, "xnli")
    assert list(read(path, get_task("snli"), "en")) == [()]  # whose annotators did not agree
    parquet(path, premise=["a"], hypothesis=["b"], label=[1])
    with pytest.raises(DataError, match="a, row 1: label 1 is not one of"):
        rows_of(path, "xnli")
    parquet(path, premise=["a", "b"], hypothesis=["b", "c"], gold=["neutral", "neutral"])
    with pytest.raises(DataError, match=r"a, row 1: no column 'label' for the label .*not read: gold"):
        rows_of(path, "xnli")


def test_other_kinds(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a", {"ner_tags": ["O", "B-LOC"]}, tokens=[["Rome", "waits"]], ner_tags=[[1, 0]]
    )
    assert rows_of(path, "panx") == [TaggedRow("1", ("Rome", "waits"), ("B-LOC", "O"))]
    answers = [{"text": ["Anna"], "answer_start": [0]}]
    parquet(path, id=["x"], question=["Who?"], context=["Anna."], answers=answers)
    assert rows_of(path, "xquad") == [QuestionRow("x", "Who?", "Anna.", (Answer("Anna", 0),))]
    parquet(path, premise=["p"], choice1=["a"], choice2=["b"], question=["cause"], label=[1], idx=[3])
    assert rows_of(path, "copa") == [ChoiceRow("3", "p What was the cause?", ("a", "b"), 1)]
    with pytest.raises(DataError, match="row 1: 'tokens' and one of ner_tags"):
        rows_of(path, "panx")
    with pytest.raises(DataError, match="a Parquet file, but ccg is read from its release's own files"):
        rows_of(path, "ccg")


def test_a_table_of_ones_own(own_task: Callable[..., Task], tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["one", "two"], right=[True, False])
    task = own_task(
        "name: mine\nkind: sequence\nlabels: [a, b]\nlabel_names: {true: a, false: b}\nformat: parquet\n"
        "files: {train: a.parquet}\ncolumns: {first: text, label: right}\n"
    )
    assert [row.label for row in load(task, "train", "en", DataLocation()).rows] == ["a", "b"]  # type: ignore[union-attr]
    own_task(
        (tmp_path / "own.yaml").read_text(), **{"a.parquet": b"PAR1\x15\x04 and then nothing that is Parquet"}
    )
    with pytest.raises(DataError, match=r"a\.parquet: not a Parquet file that can be read"):
        load(task, "train", "en", DataLocation())
    own_task((tmp_path / "own.yaml").read_text(), **{"a.parquet": b"text,right\none,true\n"})
    with pytest.raises(DataError, match=r"a\.parquet: not a Parquet file that can be read"):
        load(task, "train", "en", DataLocation())
