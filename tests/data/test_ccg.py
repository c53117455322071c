"""Supertags in each of their three forms, and the label set that is read off the training rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterstilts.data.converters import OTHER
from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.label_set import with_labels
from adapterstilts.data.load import DataLocation, load
from adapterstilts.data.release_files import read
from adapterstilts.data.rows import Row, TaggedRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.lookup import get_task

CCG = get_task("ccg")

# Written for this test in the form of CCGbank's AUTO files.
AUTO = (
    "ID=wsj_0201.1 PARSER=GOLD NUMPARSE=1\n"
    "(<T S[dcl] 0 2> (<T S[dcl] 1 2> (<T NP 0 1> (<L N NNP NNP Anna N>) ) (<T S[dcl]\\NP 0 2> "
    "(<L (S[dcl]\\NP)/NP VBD VBD saw (S[dcl]\\NP_3)/NP_4>) (<T NP 0 1> (<L N CD CD 1\\/2 N>) ) ) ) "
    "(<L . . . . .>) )\n"
    "ID=wsj_0201.2 PARSER=GOLD NUMPARSE=1\n"
    "(<T NP 0 2> (<L LRB -LRB- -LRB- -LRB- LRB>) (<T NP 0 1> (<L N NN NN dog N>) ) )\n"
)
FIRST = TaggedRow("wsj_0201.1", ("Anna", "saw", "1/2", "."), ("N", "(S[dcl]\\NP)/NP", "N", "."))


def rows_of(tmp_path: Path, content: str) -> list[Row]:
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8", newline="")
    return [row for item in read(path, CCG, "en") for row in item]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_derivations(tmp_path: Path, end: str) -> None:
    found = rows_of(tmp_path, AUTO.replace("\n", end))
    assert found == [FIRST, TaggedRow("wsj_0201.2", ("(", "dog"), ("LRB", "N"))]


def test_sentences_with_pipes(tmp_path: Path) -> None:
    head = "# this file was written by a tool\n\n"
    line = "Anna|NNP|N saw|VBD|(S[dcl]\\NP)/NP 1\\/2|CD|N .|.|.\n#|#|N/NP $|$|N\n"
    found = rows_of(tmp_path, head + line)
    assert found == [
        TaggedRow("1", FIRST.tokens, FIRST.tags),
        TaggedRow("2", ("#", "$"), ("N/NP", "N")),
    ]


def test_a_token_a_tab_and_its_supertag(tmp_path: Path) -> None:
    found = rows_of(tmp_path, "\r\nAnna\tN\r\n-LRB-\tLRB\r\n\r\n\r\n.\t.\r\n")
    assert found == [TaggedRow("1", ("Anna", "-LRB-"), ("N", "LRB")), TaggedRow("2", (".",), (".",))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ID=a PARSER=GOLD\nID=b PARSER=GOLD\n", "line 2: a has no derivation"),
        ("ID=a PARSER=GOLD\n", "a has no derivation: the file ends"),
        (AUTO + "(<L N NN NN dog N>)\n", "line 5: a derivation without the ID= line"),
        ("(<T NP 0 1> (<L N NN NN dog N>) )\n", "line 1: a derivation without the ID= line"),
        ("ID=a\n(<T NP 0 1> (<L N NN dog N>) )\n", "line 2: a leaf that is not of the form"),
        ("ID=a\n\n(<T NP 0 1> )\n", "line 3: a leaf that is not of the form"),
        ("a\tN\nb\tN\tx\n", "line 2: 3 tab-separated columns, not 2"),
    ],
)
def test_malformed_supertags(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "line"), [("a|DT b|NN\n", 1), ("a b\n", 1), ("a\tN\n\nb\n", 3), ("a\tN\nb\t\n", 2)]
)
def test_tokens_without_supertags_are_refused(tmp_path: Path, content: str, line: int) -> None:
    with pytest.raises(HiddenLabelsError, match=f"line {line}: no supertag"):
        rows_of(tmp_path, content)


# --- the label set


def sentences(*tags: str) -> list[TaggedRow]:
    return [TaggedRow(str(n), ("w",) * len(row.split()), tuple(row.split())) for n, row in enumerate(tags)]


def test_labels_are_those_that_occur_often_enough() -> None:
    task, rows = with_labels(CCG, sentences("N " * 10, "NP " * 9 + "N", "N/N " * 12))
    assert task.labels == (OTHER, "N", "N/N")
    assert isinstance(rows[1], TaggedRow)
    assert rows[1].tags == (OTHER,) * 9 + ("N",)
    assert with_labels(task, rows) == (task, rows)


def test_too_little_data_is_an_error() -> None:
    with pytest.raises(DataError, match="no tag occurs 10 times in the 2 training sentences"):
        with_labels(CCG, sentences("N NP", "N"))


def test_a_task_with_labels_stays_as_it_is() -> None:
    panx = get_task("panx")
    assert with_labels(panx, sentences("O")) == (panx, tuple(sentences("O")))


def test_the_sections_of_the_release(tmp_path: Path) -> None:
    for section in ("00", "02", "10", "21", "22"):
        folder = tmp_path / "ccgbank_1_1/data/AUTO" / section
        folder.mkdir(parents=True)
        for number in (2, 1):
            (folder / f"wsj_{section}0{number}.auto").write_text(
                AUTO.replace("wsj_0201", f"wsj_{section}0{number}")
            )
    train = load(CCG, "train", "en", DataLocation(data_dir=tmp_path))
    assert [row.id.partition(".")[0] for row in train.rows[::2]] == [
        "wsj_0201", "wsj_0202", "wsj_1001", "wsj_1002", "wsj_2101", "wsj_2102",
    ]  # fmt: skip
    labelled, _ = with_labels(CCG, train.rows)
    assert labelled.labels == (OTHER, "N")  # 18 times; the others 6 times
    dev = load(labelled, "dev", "en", DataLocation(data_dir=tmp_path))
    assert dev.rows[0] == TaggedRow("wsj_0001.1", FIRST.tokens, ("N", OTHER, "N", OTHER))
    assert len(dev.rows) == 4
