"""Raw WikiANN files put their language's code before each token, whatever the task calls the language."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapterstilts.data.rows import Row, TaggedRow
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

ReadText = Callable[..., list[Row]]


def tokens(rows: list[Row]) -> list[tuple[str, ...]]:
    return [row.tokens for row in rows if isinstance(row, TaggedRow)]


@pytest.mark.parametrize("code", ["no", "zh-yue", "simple", "ceb", "be-x-old", "de", "map-bms"])
def test_any_code_is_taken_off(read_text: ReadText, code: str) -> None:
    content = f"{code}:Bergen\tB-LOC\n{code}:er\tO\n\n{code}::\tO\n{code}:re:\tO\n"
    assert tokens(read_text("panx", content, "de")) == [("Bergen", "er"), (":", "re:")]


def test_a_token_may_be_the_code_alone(read_text: ReadText) -> None:
    content = "no:\tO\nno:Bergen\tB-LOC\n\nno:\tO\n"
    assert tokens(read_text("panx", content, "de")) == [("", "Bergen"), ("",)]


def test_hidden_files_too(read_text: ReadText) -> None:
    assert tokens(read_text("panx", "no:Bergen\nno:er\n", "de", hidden=True)) == [("Bergen", "er")]


def test_also_where_the_first_sentences_have_none(read_text: ReadText) -> None:
    content = "Kari\tB-PER\n\nno:Bergen\tB-LOC\nno:er\tO\n"
    assert tokens(read_text("panx", content, "de")) == [("Kari",), ("Bergen", "er")]


@pytest.mark.parametrize(
    "content",
    [
        "http://a.b\tO\nhttp://c.d\tO\n",
        "re:\tO\n\nre:Rome\tO\n",
        "Rome\tB-LOC\nwaits\tO\n\nis:\tO\n\nno:1\tO\n\nno:2\tO\n",
        "de:\tO\n",
        "a\tO\n\nde:Rome\tO\nwaits\tO\n",
    ],
)
def test_tokens_with_a_colon_survive(read_text: ReadText, content: str) -> None:
    sentences = [[line.split("\t")[0] for line in part.split("\n") if line] for part in content.split("\n\n")]
    assert tokens(read_text("panx", content, "de")) == [tuple(sentence) for sentence in sentences]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("de:Rom\tO\nde:ist\tO\n\nalt\tO\n", "line 4: the token 'alt' lacks the prefix 'de:'"),
        ("de:Rom\tO\n\nen:Rome\tO\n", "line 3: the token 'en:Rome' lacks the prefix 'de:'"),
        (
            "a\tO\nb\tO\nc\tO\n\nde:Rom\tO\nde:ist\tO\n",
            "line 5: all tokens of this sentence begin with 'de:'",
        ),
    ],
)
def test_a_mixture_is_refused_with_its_line(read_text: ReadText, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_text("panx", content, "de")


def test_a_code_of_the_task_counts(own_task: Callable[..., Task], read_text: ReadText) -> None:
    from adapterstilts.data.load import DataLocation, load

    task = own_task(
        "name: t\nkind: tagging\nlanguages: [en, nb]\ncodes: {nb: nob}\n"
        "labels: [O, B-LOC]\nformat: token-tag\n"
        "files: {train: a-en.tsv, test: 'a-{lang}.tsv'}\n",
        **{"a-en.tsv": "Rome\tB-LOC\n", "a-nob.tsv": "nob:Oslo\tB-LOC\n"},
    )
    assert tokens(list(load(task, "test", "nb", DataLocation()).rows)) == [("Oslo",)]
