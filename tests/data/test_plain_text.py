"""Plain text: a row for each line that is not blank, from files and from records of the Hub."""

from adapterstilts.data.files import read
from adapterstilts.data.hub import READERS
from adapterstilts.data.rows import TextRow
from adapterstilts.data.source import Where, available, load
from adapterstilts.tasks.language import MLM


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
    where = Where(data_dir=tmp_path)
    assert available(MLM, "train", where) == ("de", "sw")
    assert [row.text for row in load(MLM, "train", "sw", where, limit=2).rows] in (
        ["a", "b"],
        ["a", "c"],
        ["b", "c"],
    )


def test_an_article_of_the_hub_has_a_row_for_each_paragraph():
    rows = READERS["text"]({"text": "First.\n\n Second. \n"}, MLM, "sw", "7")
    assert rows == (TextRow("7.1", "First."), TextRow("7.2", "Second."))
