"""CoNLL-U as Universal Dependencies release it, read as XTREME's preparation does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.data.load import DataLocation, available, load
from adapterstilts.data.release_files import HiddenLabelsError, read
from adapterstilts.data.rows import Row, TaggedRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.lookup import get_task

Reads = Callable[..., list[Row]]


def line(key: str, form: str, upos: str, head: str = "0", deps: str = "_", misc: str = "_") -> str:
    return "\t".join((key, form, form.lower(), upos, "_", "_", head, "_", deps, misc))


@pytest.fixture
def rows(tmp_path: Path) -> Reads:
    def read_text(*lines: str, task: str = "udpos", language: str = "en") -> list[Row]:
        path = tmp_path / "xx-ud-dev.conllu"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [row for item in read(path, get_task(task), language) for row in item]

    return read_text


def test_forms_tags_and_spaces(rows: Reads) -> None:
    found = rows(
        "# newdoc id = d",
        "# sent_id = d-1",
        "# text = Anna's dog.",
        line("1", "Anna", "PROPN", "3", misc="Gloss=x|SpaceAfter=No"),
        line("2", "'s", "PART", "1"),
        line("3", "dog", "NOUN", misc="SpaceAfter=No"),
        line("4", ".", "PUNCT", "3"),
        "",
        "# text = without a name",
        line("1", "#", "SYM"),
        "",
    )
    assert found == [
        TaggedRow(
            "d-1", ("Anna", "'s", "dog", "."), ("PROPN", "PART", "NOUN", "PUNCT"), (False, True, False, True)
        ),
        TaggedRow("2", ("#",), ("SYM",), (True,)),
    ]


def test_a_multiword_token_has_the_tag_of_its_head(rows: Reads) -> None:
    """French "au" is "à" (an adposition) and "le"; both hang on the noun, and ADP precedes DET."""
    (row,) = rows(
        line("1", "va", "VERB"),
        line("2-3", "au", "_", "_", misc="SpaceAfter=No"),
        line("2", "à", "ADP", "4"),
        line("3", "le", "DET", "4"),
        line("4", "Nord", "PROPN", "1"),
        line("5-6", "peut-être", "_", "_"),
        line("5", "peut", "AUX", "6"),
        line("6", "être", "VERB", "1"),
        language="fr",
    )
    assert row == TaggedRow(
        "1", ("va", "au", "Nord", "peut-être"), ("VERB", "ADP", "PROPN", "VERB"), (True, False, True, True)
    )


@pytest.mark.parametrize(("language", "tag"), [("en", "NOUN"), ("it", "PRON"), ("es", "PRON")])
def test_equally_deep_words_are_ranked_by_language(rows: Reads, language: str, tag: str) -> None:
    (row,) = rows(
        line("1-2", "xy", "_", "_"),
        line("1", "x", "NOUN", "3"),
        line("2", "y", "PRON", "3"),
        line("3", "z", "VERB"),
        language=language,
    )
    assert row.tags == (tag, "VERB")


def test_enhanced_dependencies_count_as_ways_to_the_root(rows: Reads) -> None:
    """Over them "x" has four nodes above it (0, 2, 3, 4), "y" two (0, 3)."""
    lines = [line("1-2", "xy", "_", "_"), line("1", "x", "VERB", "3"), line("2", "y", "DET", "3")]
    rest = [line("3", "z", "NOUN"), line("4", "w", "NOUN", "3")]
    assert rows(*lines, *rest)[0].tags[0] == "VERB"
    lines[1] = line("1", "x", "VERB", "3", deps="2:dep|4:dep|3.1:dep")
    assert rows(*lines, *rest)[0].tags[0] == "DET"


def test_a_circle_of_heads_ends(rows: Reads) -> None:
    (row,) = rows(line("1-2", "xy", "_", "_"), line("1", "x", "VERB", "2"), line("2", "y", "DET", "1"))
    assert row.tags == ("VERB",)


def test_empty_nodes_are_passed_over_and_forms_cleaned(rows: Reads) -> None:
    (row,) = rows(
        line("0.1", "he", "PRON", "_", "2:nsubj"),
        line("1", "10 000", "NUM", "2"),
        line("1.1", "more", "ADV", "_", "2:x"),
        line("2", "می\u200cخواهد", "VERB"),
    )
    assert row == TaggedRow("1", ("10000", "میخواهد"), ("NUM", "VERB"), (True, True))


def test_sentences_of_hidden_words_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "en_esl-ud-train.conllu"
    hidden = [line("1", "_", "NOUN", "2"), line("2", "_", "VERB"), line("3", ".", "PUNCT", "2")]
    path.write_text("\n".join([*hidden, "", line("1", "Yes", "INTJ")]) + "\n")
    items = list(read(path, get_task("udpos"), "en"))
    assert items == [(), (TaggedRow("2", ("Yes",), ("INTJ",), (True,)),)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line("1", "a", "NOUN"), "2\tb"], "line 2: 2 tab-separated columns, not the 10 of CoNLL-U"),
        ([line("1", "a", "NOUN"), line("3", "b", "NOUN")], "line 2: the ID '3' where word 2 was awaited"),
        ([line("1-x", "a", "NOUN")], "line 1: the ID '1-x'"),
        ([line("1-1", "a", "NOUN")], "line 1: the ID '1-1'"),
        ([line("1-2", "a", "_", "_"), line("1", "a", "NOUN")], "'a' goes on to word 2, which is not there"),
        ([line("1", "a", "NOUN"), line("2", "b", "CONJ")], "line 2: tag 'CONJ' is not one of udpos's"),
        ([line("1", "a", "NOUN", "x")], "line 1: the head 'x' is not a number"),
    ],
)
def test_malformed_lines_are_named(rows: Reads, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(*lines)


def test_untagged_files_are_refused(rows: Reads) -> None:
    with pytest.raises(HiddenLabelsError, match="line 1: no tag"):
        rows(line("1", "a", "_"))


def test_the_release_layout_is_a_data_folder(tmp_path: Path) -> None:
    """All treebanks of a language are read, as XTREME does; its test file without tags is passed over."""
    for treebank, name in (("English-EWT", "en_ewt"), ("English-GUM", "en_gum"), ("Thai-PUD", "th_pud")):
        folder = tmp_path / f"UD_{treebank}"
        folder.mkdir()
        (folder / f"{name}-ud-test.conllu").write_text(line("1", name, "NOUN") + "\n\n")
    (tmp_path / "udpos").mkdir()
    (tmp_path / "udpos" / "test-en.tsv").write_text("hidden\n")
    task, location = get_task("udpos"), DataLocation(data_dir=tmp_path, source="folder")
    assert available(task, "test", location) == ("en", "th")
    found = load(task, "test", "en", location)
    assert [(row.id, row.tokens) for row in found.rows] == [("1", ("en_ewt",)), ("1#2", ("en_gum",))]
    assert available(task, "dev", location) == ()
