"""Columns that something else separates than the form says: read where that is certain, else refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.rows import Row, TaggedRow
from adapterstilts.errors import DataError

ReadText = Callable[..., list[Row]]
CONLLU = "1 Sie sie PRON _ _ 2 nsubj _ _\n2 singt singen VERB _ _ 0 root _ _\n"


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Rome B-LOC\nwaits O\n", "line 1: 2 fields with spaces between them, not tabs"),
        ("# a comment\nRome B-LOC\nwaits O\n", "line 2: 2 fields with spaces"),
        ("Rome B-PLACE\nand O2\n", "line 1: 2 fields with spaces"),  # labels of another task
        ("-DOCSTART- -X- -X- O\n\nRome NNP B-NP B-LOC\nis VBZ B-VP O\n", "line 1: 4 fields with spaces"),
        ("Rome\u00a0B-LOC\nwaits\u00a0O\n", "line 1: 2 fields with spaces"),
        ("Rome    B-LOC\r\nwaits   O\r\n", "line 1: 2 fields with spaces"),
        ("Rome\tB-LOC\nwaits O\n", "line 2: spaces, not a tab, between the columns of 'waits O'"),
        ("Rome\tNNP\tB-NP\tB-LOC\n", "line 1: 4 tab-separated columns, not 2"),
        ("Rome\tB-LOC\t\n", "line 1: 3 tab-separated columns, not 2"),
        ("Rome \tB-LOC\n", "line 1: a space beside the token 'Rome '"),
        ("# id = 1\nRome\nwaits\n", "line 1: a comment, which this form does not have"),
        ("Rome,B-LOC\nwaits,O\n", "line 1: 2 fields with other signs between them, not tabs"),
        ("Rome|B-PLACE\nwaits|O\n", "line 1: 2 fields with other signs"),
        ("U.S.=B-LOC\n-=O\nwaits=O\n", "line 1: 2 fields with other signs"),
        ("Rome->B-LOC\nwaits->O\n", "line 1: 2 fields with other signs"),
        ("Rome\\tB-LOC\nwaits\\tO\n", "line 1: 2 fields with other signs"),  # a backslash and a t
        ('{"tokens":["Rome"],"ner_tags":["B-LOC"]}\n', "line 1: JSON, not a token and its tag"),
        ('[["Rome","B-LOC"]]\n', "line 1: JSON, not a token and its tag"),
        ("Rome\tB-LOC\rwaits\tO\r", "line 1: old Mac line ends"),
        ("Rome\tB-LOC\rwaits\tO\r\n", "line 1: 3 tab-separated columns, not 2 .*old Mac line ends"),
        (CONLLU, "line 1: 10 fields with spaces between them, not tabs .CoNLL-U"),
        ("# sent_id = 1\n" + CONLLU, "line 2: 10 fields with spaces between them, not tabs .CoNLL-U"),
    ],
)  # fmt: skip
def test_other_separators_are_never_misread(
    read_text: ReadText, content: str, message: str, hidden: bool
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_text("panx", content, hidden=hidden)
    assert not isinstance(caught.value, HiddenLabelsError)


def test_one_tagged_line_among_tokens_alone(read_text: ReadText) -> None:
    with pytest.raises(DataError, match="line 4: spaces, not a tab"):
        read_text("panx", "Rome\n,\nthen\nwaits O\n", hidden=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Rome\t B-LOC\n", "line 1: tag ' B-LOC' is not one of"),
        ("token\ttag\nRome\tB-LOC\n", "line 1: tag 'tag' is not one of"),
        ("Rome\tB-LOC\n# a comment\n", "line 2: a comment, which this form does not have"),
    ],
)
def test_what_is_no_label_is_shown(read_text: ReadText, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_text("panx", content)


def test_blank_lines_may_hold_spaces_where_there_are_tags(read_text: ReadText) -> None:
    expected = [TaggedRow("1", ("Rome",), ("B-LOC",)), TaggedRow("2", ("waits",), ("O",))]
    for blank in ("\n", " \n", "\t\n", "\r\n", "\n \n\n"):
        assert read_text("panx", f"Rome\tB-LOC\n{blank}waits\tO\n{blank}") == expected
    with pytest.raises(DataError, match="line 2: a line of spaces alone"):
        read_text("panx", "Rome\n \nwaits\n", hidden=True)


def test_tokens_may_be_or_hold_spaces_or_nothing(read_text: ReadText) -> None:
    assert read_text("udpos", "Il\na\n10 000\namis\n", hidden=True) == [
        TaggedRow("1", ("Il", "a", "10 000", "amis"), None)
    ]
    assert read_text("panx", "[\nand/O\n{\n1:2\nand\n}\n", hidden=True) == [
        TaggedRow("1", ("[", "and/O", "{", "1:2", "and", "}"), None)
    ]
    assert read_text("panx", "Rome\tB-LOC\n\tO\n", "fr") == [TaggedRow("1", ("Rome", ""), ("B-LOC", "O"))]
    assert read_text("panx", "\u00a0\tO\n", "fr") == [TaggedRow("1", ("\u00a0",), ("O",))]


def test_a_mark_of_a_document_is_no_sentence(read_text: ReadText) -> None:
    rows = read_text("panx", "-DOCSTART-\tO\n\nRome\tB-LOC\n\n-DOCSTART-\tO\n\n-DOCSTART-\tO\nBonn\tB-LOC\n")
    assert [row.tokens for row in rows if isinstance(row, TaggedRow)] == [("Rome",), ("-DOCSTART-", "Bonn")]


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("xnli", "a b neutral\n", "line 1: 1 tab-separated columns"),
        ("xnli", "premise hypothesis label\na\tb\tneutral\n", "line 1: 1 tab-separated columns"),
        ("xnli", "a\tb\tneutral\rc\td\tneutral", "line 1: old Mac line ends"),
        ("cosmosqa", "id;context;question\n", "line 1: a header of one column, 'id;context;question': ';'"),
        (
            "xnli",
            "a\tneutral\nb\tentailment\n",
            "line 1: two columns, the second of which is the label 'neutral'",
        ),
        ("xnli", "text\tlabel\na\tx\n", "line 1: a header of the columns text, label"),
        ("xnli", "Premise\tPair\na\tx\n", "line 1: a header of the columns Premise, Pair"),
        ("bucc2018", "de-1 Hallo\n", "does not exist"),
        ("ccg", "Anna N\nsleeps S\n", "line 1: no supertag in 'Anna'"),
    ],
)
def test_other_forms_refuse_other_separators(
    read_text: ReadText, task: str, content: str, message: str
) -> None:
    for hidden in (False, True):
        with pytest.raises(DataError, match=message):
            read_text(task, content, "de" if task == "bucc2018" else "en", hidden)
