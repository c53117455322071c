"""Rows in languages that a task does not list are skipped, counted and reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapterstilts.data.load import DataLocation, load
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task

OwnTask = Callable[..., Task]
TABLE = (
    "name: s\nkind: sequence\nlabels: [x, y]\nformat: tsv\nlanguages: [en, de]\ncodes: {de: ger}\n"
    "columns: {first: t, label: l, language: g}\nfiles: {train: a.tsv, test: a.tsv}\n"
)
ROWS = "t\tl\tg\none\tx\tEN\ntwo\ty\tger\nthree\tx\tfr\nfour\ty\ten-GB\nfive\tx\t\nsix\tx\tfr\n"
NOTE = "skipped the rows in languages that the task does not list: fr (2), en-GB (1), none (1)"


@pytest.mark.parametrize("language", ["en", "de"])
def test_rows_of_a_table(own_task: OwnTask, language: str) -> None:
    loaded = load(own_task(TABLE, **{"a.tsv": ROWS}), "test", language, DataLocation())
    assert len(loaded.rows) == 1
    assert loaded.notes == (NOTE,)
    assert loaded.origin["unlisted"] == {"fr": 2, "en-GB": 1, "": 1}


def test_rows_of_another_split_do_not_count(own_task: OwnTask) -> None:
    definition = TABLE + "filter: {train: {t: one}}\n"
    assert load(own_task(definition, **{"a.tsv": ROWS}), "train", "en", DataLocation()).notes == ()


def test_slices_count_only_the_rows_that_are_read(own_task: OwnTask) -> None:
    content = "t\tl\tg\none\tx\tfr\ntwo\ty\ten\nthree\tx\ten\n"
    task = own_task(TABLE.replace("train: a.tsv", "train: a.tsv#1-2"), **{"a.tsv": content})
    loaded = load(task, "train", "en", DataLocation())
    assert len(loaded.rows) == 2
    assert loaded.origin["unlisted"] == {"fr": 1}


PAIRS = [("a", "b", "neutral", "en"), ("c", "d", "neutral", "de"), ("e", "f", "neutral", "tlh")]


@pytest.mark.parametrize("packed", [False, True])
def test_pairs_with_a_language_column(tmp_path: Path, packed: bool) -> None:
    names = ("premise", "hypothesis", "label", "lang")
    path = tmp_path / "pairs"
    if packed:
        columns = dict(zip(names, zip(*PAIRS, strict=True), strict=True))
        pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    else:
        path.write_text("".join("\t".join(row) + "\n" for row in (names, *PAIRS)), encoding="utf-8")
    loaded = load(get_task("mini_nli"), "test", "en", DataLocation(file=str(path)))
    assert [row.first for row in loaded.rows if hasattr(row, "first")] == ["a"]
    assert loaded.origin["unlisted"] == {"tlh": 1}
