"""Plain text: a row for each line that is not blank, from files and from records of the Hub."""

from pathlib import Path

import pytest

from adapterstilts.data.hub import READERS
from adapterstilts.data.load import DataLocation, available, load
from adapterstilts.data.release_files import read
from adapterstilts.data.rows import TextRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.plain_text import MLM


def test_lines_of_a_file(tmp_path):
    path = tmp_path / "sw.txt"
    path.write_bytes("\ufeffHabari ya asubuhi.\r\n\r\n   \n  Nzuri\tsana.\u2028Ndiyo. \n".encode())
    assert [row for item in read(path, MLM, "sw") for row in item] == [
        TextRow("1", "Habari ya asubuhi."),
        TextRow("4", "Nzuri\tsana.\u2028Ndiyo."),
    ]


def test_the_data_folder_has_text_by_language(tmp_path):
    (tmp_path / "text").mkdir()
    for language in ("sw", "de"):
        (tmp_path / "text" / f"{language}.txt").write_text("a\nb\nc\n", encoding="utf-8")
    location = DataLocation(data_dir=tmp_path)
    assert available(MLM, "train", location) == ("de", "sw")
    assert [row.text for row in load(MLM, "train", "sw", location, limit=2).rows] in (
        ["a", "b"],
        ["a", "c"],
        ["b", "c"],
    )


def test_an_article_of_the_hub_has_a_row_for_each_paragraph():
    rows = READERS["text"]({"text": "First.\n\n Second. \n"}, MLM, "sw", "7")
    assert rows == (TextRow("7.1", "First."), TextRow("7.2", "Second."))


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.txt", '{"text": "One."}\n{"text": "Two."}\n', "JSON"),
        ("a.txt", '[{"text": "One."}]\n', "JSON"),
        ("a.txt", '{\n "text": "One."\n}\n', "JSON"),
        ("a.txt", "1\tOne.\n2\tTwo.\n\n", "2 tab-separated columns"),
        ("a.txt", "1\tOne\tone\tNUM\t_\t_\t0\troot\t_\t_\n", "CoNLL-U"),
        ("a.txt", '<doc id="1" url="u">\nOne.\n</doc>\n', "markup"),
        ("a.txt", '<?xml version="1.0"?>\n<t>One.</t>\n', "markup"),
        ("a.csv", "id,text\n1,One.\n", "a .csv file"),
        ("A.JSONL", '"One."\n', "a .jsonl file"),
    ],
)
def test_other_forms_are_no_plain_text(tmp_path: Path, name: str, content: str, form: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=f"{name}: {form}.*, not plain text"):
        load(get_task("mlm"), "train", "sw", DataLocation(file=str(tmp_path / name)))


def test_text_with_braces_tabs_and_signs_is_plain(tmp_path: Path) -> None:
    lines = ["{ in braces }", "[1] a reference", "one\ttab", "<b>bold</b>", "One, two.", '"Three."', "Four."]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    assert len(load(get_task("mlm"), "train", "sw", DataLocation(file=str(tmp_path / "a.txt"))).rows) == 7
