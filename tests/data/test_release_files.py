"""Every reader on small files in the release's form, on hostile ones, and on the real ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.release_files import read
from adapterstilts.data.rows import (
    Answer,
    ChoiceRow,
    PairRow,
    QuestionRow,
    RetrievalRow,
    Row,
    TaggedRow,
)
from adapterstilts.errors import DataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., list[Row]]:
    """Reads a text as a file of the task's form."""

    def read_text(task: str, content: str, language: str = "en", name: str = "file") -> list[Row]:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8", newline="")
        return [row for item in read(path, get_task(task), language) for row in item]

    return read_text


# --- pairs


def test_pairs_are_three_columns_without_quoting(rows: Callable[..., list[Row]]) -> None:
    found = rows("pawsx", 'He said "no .\t"Yes" , he said .\t0\r\nA\tB\t1\r\n')
    assert found == [
        PairRow("1", 'He said "no .', '"Yes" , he said .', "different"),
        PairRow("2", "A", "B", "paraphrase"),
    ]


def test_multinli_json_lines_leave_out_pairs_without_gold(tmp_path: Path) -> None:
    lines = [
        {"pairID": "31193n", "sentence1": "a", "sentence2": "b", "gold_label": "neutral", "genre": "x"},
        {"pairID": "101457e", "sentence1": "c", "sentence2": "d", "gold_label": "-", "genre": "x"},
    ]
    path = tmp_path / "multinli_1.0_train.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert list(read(path, get_task("mnli"), "en")) == [(PairRow("31193n", "a", "b", "neutral"),), ()]


def test_glue_table_with_header(rows: Callable[..., list[Row]]) -> None:
    header = "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
    found = rows("mnli", header + '0\t31193\t31193n\tgov\tAn "a\tB\tneutral\tentailment\n')
    assert found == [PairRow("31193n", 'An "a', "B", "entailment")]


def test_xnli_release_is_filtered_by_language(rows: Callable[..., list[Row]]) -> None:
    table = "language\tgold_label\tsentence1\tsentence2\tpairID\n" + "".join(
        f"{code}\tneutral\t{code} one\t{code} two\t{n}\n" for n, code in enumerate(("ar", "de", "ar"))
    )
    assert [row.id for row in rows("xnli", table, "ar")] == ["0", "2"]
    assert rows("xnli", table, "de") == [PairRow("1", "de one", "de two", "neutral")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\tneutral\na b neutral\n", "line 2: 1 tab-separated columns, not 3"),
        ("a\tb\tc\tneutral\n", "line 1: 4 tab-separated columns"),
        ("a\t\tneutral\n\t \tneutral\n", "line 2: both texts are empty"),
        ("a\tb\tneutral\n\na\tb\tneutral\n", "line 2: 1 tab-separated"),
        (
            "a\tb\tNeutral\n",
            "line 1: label 'Neutral' is not one of xnli's: entailment, neutral, contradiction",
        ),
        ("a\tb\tneutral \n", "label 'neutral ' is not one of"),
        ("a\tb\t-\nx\ty\tz\n", "line 2: label 'z'"),
        ("sentence1\tsentence2\tlabel\na\tb\n", "line 2: 2 tab-separated columns where the header has 3"),
        ('{"sentence1": "a", "sentence2": "b", "gold_label": 7}', "line 1: label 7 is not one of"),
        ('{"sentence1": "a", "gold_label": "neutral"}', "line 1: no field 'sentence2'"),
        ('{"sentence1": 5, "sentence2": "b", "gold_label": "neutral"}', "field 'sentence1' should be text"),
        ('{"sentence1": "\\ud800", "sentence2": "b", "gold_label": "neutral"}', "half of a surrogate pair"),
    ],
)
def test_malformed_pairs(rows: Callable[..., list[Row]], content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows("xnli", content)


@pytest.mark.parametrize(
    "content",
    ["a\tb\nc\td\n", "a\tb\t\n", '{"sentence1": "a", "sentence2": "b"}', "sentence1\tsentence2\na\tb\n"],
)
def test_pairs_without_labels_are_refused(rows: Callable[..., list[Row]], content: str) -> None:
    with pytest.raises(HiddenLabelsError, match="line "):
        rows("xnli", content)


# --- tags


def test_sentences_are_divided_by_empty_lines(rows: Callable[..., list[Row]]) -> None:
    found = rows("panx", "Paris\tB-LOC\n.\tO\n\n\n\u200b\tO\n\ufeff\tO\n \tO\n", "fr")
    assert found == [
        TaggedRow("1", ("Paris", "."), ("B-LOC", "O")),
        TaggedRow("2", ("\u200b", "\ufeff", " "), ("O", "O", "O")),
    ]


def test_prefix_of_raw_panx_is_taken_off(rows: Callable[..., list[Row]]) -> None:
    found = rows("panx", "fr:Paris\tB-LOC\nfr::\tO\n\nfr:fr:\tO\n", "fr")
    assert found == [TaggedRow("1", ("Paris", ":"), ("B-LOC", "O")), TaggedRow("2", ("fr:",), ("O",))]
    assert rows("panx", "Paris\tB-LOC\n\nfr:\tO\n", "fr")[1] == TaggedRow("2", ("fr:",), ("O",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tNOUN\nb\tNOUN\tx\n", "line 2: 3 tab-separated columns, not 2"),
        ("a\tNOUN\n\nb\tFOO\n", "line 3: tag 'FOO' is not one of udpos's: ADJ, ADP"),
        ("a\tNOUN\nb\tnoun\n", "line 2: tag 'noun'"),
        ("en:a\tNOUN\n\nb\tNOUN\n", "line 3: the token 'b' lacks the prefix 'en:'"),
    ],
)
def test_malformed_tags(rows: Callable[..., list[Row]], content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows("udpos", content)


@pytest.mark.parametrize("content", ["a\nb\n", "a\tNOUN\nb\t\n"])
def test_tokens_without_tags_are_refused(rows: Callable[..., list[Row]], content: str) -> None:
    with pytest.raises(HiddenLabelsError, match="no tag"):
        rows("udpos", content)


# --- questions


def squad(*questions: dict[str, Any], context: str = "Anna went to Paris.") -> str:
    return json.dumps(
        {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]}
    )


def question(key: str, *answers: tuple[str, Any], **more: Any) -> dict[str, Any]:
    gold = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": key, "question": f"q{key}?", "answers": gold, **more}


def test_questions_keep_all_gold_answers(rows: Callable[..., list[Row]]) -> None:
    found = rows("xquad", squad(question("a", ("Paris", 13), ("to Paris", 10))))
    answers = (Answer("Paris", 13), Answer("to Paris", 10))
    assert found == [QuestionRow("a", "qa?", "Anna went to Paris.", answers)]


def test_unanswerable_questions_only_where_the_task_has_them(rows: Callable[..., list[Row]]) -> None:
    content = squad(
        question("a", is_impossible=True, plausible_answers=[{"text": "Anna", "answer_start": 0}]),
        question("b", ("Anna", 0), is_impossible=False),
    )
    found = rows("squad_v2", content)
    assert [row.answers for row in found if isinstance(row, QuestionRow)] == [(), (Answer("Anna", 0),)]
    with pytest.raises(DataError, match="question a has no answer, but every question of squad_v1 has one"):
        rows("squad_v1", content)


def test_offsets_count_characters_not_bytes(rows: Callable[..., list[Row]]) -> None:
    context = "\U0001f600 مرحبا 世界"
    assert len(rows("xquad", squad(question("a", ("世界", 8)), context=context), "zh")) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (squad(question("a", ("Paris", 12))), "question a: the answer 'Paris' is not at character 12"),
        (squad(question("a", ("Anna", -19))), "not at character -19"),
        (squad(question("a", ("Paris", "13"))), "'answer_start' should be a number, not '13'"),
        (squad(question("a", ("Anna", True))), "'answer_start' should be a number"),
        (
            squad(question("a", ("Anna", 0)), question("a", ("Anna", 0))),
            "question a stands in the file twice",
        ),
        (squad(question("a")), "question a has no answer"),
        (squad(), "the file holds no question"),
        ('{"data": {"a": 1}}', "'data' should be a list of objects"),
        ("[1, 2]", "'data' should be a list of objects"),
        ('{"data": [{"paragraphs": [{"qas": [{"id": "a"}]}]}]}', "no field 'context'"),
        ('{"data": [\n{"paragraphs": [}]}', "line 2: not valid JSON"),
    ],
)
def test_malformed_questions(rows: Callable[..., list[Row]], content: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        rows("xquad", content)
    assert "file" in str(caught.value)


def test_a_wrong_question_is_told_with_its_article_and_paragraph(rows: Callable[..., list[Row]]) -> None:
    first, good, wrong = (
        {"context": "Anna went.", "qas": [question(key, (answer, 0))]}
        for key, answer in (("a", "Anna"), ("b", "Anna"), ("c", "Tom"))
    )
    articles = [{"paragraphs": [first]}, {"title": "Paris", "paragraphs": [good, wrong]}]
    place = r"file, article 2 \(Paris\), paragraph 2: question c: the answer 'Tom'"
    with pytest.raises(DataError, match=place):
        rows("tydiqa", json.dumps({"data": articles}))
    articles[0]["paragraphs"] = {}  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"file, article 1: not in SQuAD's form"):
        rows("tydiqa", json.dumps({"data": articles}))


def test_blanked_answers_are_refused(rows: Callable[..., list[Row]]) -> None:
    with pytest.raises(
        HiddenLabelsError, match=r"question a: its answer is blanked, so the labels .* are hidden"
    ):
        rows("tydiqa", squad(question("a", ("", 0))))


def test_ids_may_repeat_for_different_questions(rows: Callable[..., list[Row]]) -> None:
    other = {**question("0", ("Paris", 13)), "question": "where?"}
    assert [row.id for row in rows("tydiqa", squad(question("0", ("Anna", 0)), other))] == ["0", "0"]


# --- choices


def test_hellaswag(rows: Callable[..., list[Row]]) -> None:
    record = {"ind": 24, "ctx": "A man sits. he", "endings": ["a", "b", "c", "d"], "label": 3}
    assert rows("hellaswag", json.dumps(record)) == [
        ChoiceRow("24", "A man sits. he", ("a", "b", "c", "d"), 3)
    ]


def test_cosmosqa_as_csv_and_as_json_lines(rows: Callable[..., list[Row]]) -> None:
    table = 'id,context,question,answer0,answer1,answer2,answer3,label\r\nx,"a, b","Why ""?""",p,q,r,s,2\r\n'
    expected = [ChoiceRow("x", 'a, b Why "?"', ("p", "q", "r", "s"), 2)]
    assert rows("cosmosqa", table) == expected
    answers = {f"answer{n}": text for n, text in enumerate("pqrs")}
    record = {"id": "x", "context": "a, b", "question": 'Why "?"', **answers, "label": 2}
    assert rows("cosmosqa", json.dumps(record)) == expected


def test_csqa_flat_and_nested(rows: Callable[..., list[Row]]) -> None:
    choices = {"label": list("ABCDE"), "text": list("vwxyz")}
    expected = [ChoiceRow("7", "Where?", tuple("vwxyz"), 1)]
    assert (
        rows("csqa", json.dumps({"id": "7", "question": "Where?", "choices": choices, "answerKey": "B"}))
        == expected
    )
    nested = [{"label": label, "text": text} for label, text in zip("ABCDE", "vwxyz", strict=True)]
    record = {"id": "7", "question": {"stem": "Where?", "choices": nested}, "answerKey": "B"}
    assert rows("csqa", json.dumps(record)) == expected


def test_siqa_with_the_answer_inside_or_beside(rows: Callable[..., list[Row]], tmp_path: Path) -> None:
    record = {"context": "C.", "question": "Q?", "answerA": "a", "answerB": "b", "answerC": "c"}
    expected = [ChoiceRow("1", "C. Q?", ("a", "b", "c"), 2)]
    assert rows("siqa", json.dumps({**record, "correct": "C"})) == expected
    assert rows("siqa", json.dumps({**record, "label": "3"})) == expected
    (tmp_path / "train-labels.lst").write_text("3\n")
    assert rows("siqa", json.dumps(record), name="train.jsonl") == expected
    (tmp_path / "train-labels.lst").write_text("3\n1\n")
    with pytest.raises(DataError, match=r"1 records, but .*train-labels\.lst has 2 labels"):
        rows("siqa", json.dumps(record), name="train.jsonl")


def test_copa_asks_for_cause_or_effect_in_english(rows: Callable[..., list[Row]]) -> None:
    record = {"premise": "Mvua.", "choice1": "a", "choice2": "b", "question": "cause", "label": 1, "idx": 5}
    assert rows("xcopa", json.dumps(record), "sw") == [
        ChoiceRow("5", "Mvua. What was the cause?", ("a", "b"), 1)
    ]
    effect = rows("xcopa", json.dumps({**record, "question": "effect"}), "sw")[0]
    assert isinstance(effect, ChoiceRow)
    assert effect.prompt == "Mvua. What happened as a result?"


COPA = {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 1}
SIQA = {"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "c"}
HELLASWAG = {"ind": 1, "ctx": "c", "endings": ["a", "b", "c", "d"], "label": 1}


@pytest.mark.parametrize(
    ("task", "record", "message"),
    [
        ("xcopa", {**COPA, "label": 2}, "label 2 is not one of: 0, 1"),
        ("xcopa", {**COPA, "label": True}, "label true is not one of"),
        ("xcopa", {**COPA, "question": "why"}, "question 'why' is not one of: cause, effect"),
        ("siqa", {**SIQA, "correct": "D"}, "correct 'D' is not one of: A, B, C"),
        ("siqa", {**SIQA, "correct": "a"}, "correct 'a'"),
        ("hellaswag", {**HELLASWAG, "endings": ["a", "b", "c"]}, "'endings' should be a list of 4 texts"),
        ("hellaswag", {**HELLASWAG, "label": 4}, "label 4 is not one of"),
        ("csqa", {"question": "q", "choices": [], "answerKey": "A"}, "'choices' should be an object"),
    ],
)
def test_malformed_choices(
    rows: Callable[..., list[Row]], task: str, record: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"line 1: .*{re.escape(message)}"):
        rows(task, json.dumps(record))


@pytest.mark.parametrize(
    ("task", "record"),
    [
        ("xcopa", {name: value for name, value in COPA.items() if name != "label"}),
        ("siqa", SIQA),
        ("hellaswag", {**HELLASWAG, "label": ""}),
        ("csqa", {"question": "q", "choices": {"label": list("ABCDE"), "text": list("ABCDE")}}),
    ],
)
def test_choices_without_an_answer_are_refused(
    rows: Callable[..., list[Row]], task: str, record: dict[str, Any]
) -> None:
    with pytest.raises(HiddenLabelsError, match="line 1: no "):
        rows(task, json.dumps(record))


# --- retrieval


def aligned(tmp_path: Path, foreign: str, english: str) -> Path:
    path = tmp_path / "tatoeba.deu-eng.deu"
    path.write_text(foreign, encoding="utf-8")
    (tmp_path / "tatoeba.deu-eng.eng").write_text(english, encoding="utf-8")
    return path


def test_tatoeba_pairs_lines(tmp_path: Path) -> None:
    path = aligned(tmp_path, "Hallo.\nJa.\n", "Hello.\nYes.\n")
    assert list(read(path, get_task("tatoeba"), "de")) == [
        (RetrievalRow("1", "Hallo.", "query", ("en-1",)), RetrievalRow("en-1", "Hello.", "candidate")),
        (RetrievalRow("2", "Ja.", "query", ("en-2",)), RetrievalRow("en-2", "Yes.", "candidate")),
    ]


@pytest.mark.parametrize(
    ("foreign", "english", "message"),
    [
        ("a\nb\n", "c\n", r"deu: 2 lines, but .*tatoeba.deu-eng.eng has 1: they are not aligned"),
        ("a\n\nb\n", "c\nd\ne\n", r"tatoeba.deu-eng.deu, line 2: an empty sentence"),
        ("a\nb\n", "c\n \n", r"tatoeba.deu-eng.eng, line 2: an empty sentence"),
        ("", "c\n", r"tatoeba.deu-eng.deu: the file is empty"),
    ],
)
def test_misaligned_files(tmp_path: Path, foreign: str, english: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read(aligned(tmp_path, foreign, english), get_task("tatoeba"), "de"))


def test_the_other_side_is_missing(tmp_path: Path) -> None:
    path = aligned(tmp_path, "a\n", "b\n")
    (tmp_path / "tatoeba.deu-eng.eng").unlink()
    with pytest.raises(DataError, match=r"tatoeba.deu-eng.eng, is not there"):
        list(read(path, get_task("tatoeba"), "de"))


# --- the real files, counted another way


def lines(path: Path) -> int:
    """Line feeds; a header makes up for the one that the last line lacks."""
    return path.read_bytes().count(b"\n")


def sentences(path: Path) -> int:
    return len([block for block in path.read_bytes().split(b"\n\n") if block.strip(b"\n")])


def ids(path: Path) -> int:
    return path.read_text(encoding="utf-8").count('"id"')


@pytest.mark.parametrize(
    ("task", "language", "name", "counted"),
    [
        ("xnli", "hi", "xtreme/xnli/dev-hi.tsv", lines),
        ("mnli", "en", "xtreme/xnli/dev-en.tsv", lines),
        ("pawsx", "fr", "xtreme/pawsx/dev-fr.tsv", lines),
        ("pawsx", "en", "xtreme/pawsx/train-en.tsv", lines),
        ("udpos", "ar", "xtreme/udpos/dev-ar.tsv", sentences),
        ("panx", "bn", "xtreme/panx/dev-bn.tsv", sentences),
        ("panx", "ta", "xtreme/panx/dev-ta.tsv", sentences),
        ("xquad", "ar", "xtreme/xquad/xquad.ar.json", ids),
        ("xquad", "zh", "xtreme/xquad/xquad.zh.json", ids),
        ("squad_v1", "en", "xtreme/tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json", ids),
        ("tydiqa", "sw", "xtreme/tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.sw.train.json", ids),
        ("xquad", "de", "xtreme/mlqa/MLQA_V1/dev/dev-context-de-question-de.json", ids),
        ("hellaswag", "en", "english/hellaswag/hellaswag_val_1000.jsonl", lines),
        ("csqa", "en", "english/commonsenseqa/dev_rand_split.jsonl", lines),
        ("cosmosqa", "en", "english/cosmosqa/valid.csv", lines),
        ("siqa", "en", "xtreme/siqa/socialIQa_v1.4_dev.jsonl", lines),
        ("xcopa", "en", "xtreme/xcopa/train-en.jsonl", lines),
        ("xcopa", "ta", "xtreme/xcopa/val-ta.jsonl", lines),
        ("tatoeba", "yi", "xtreme/tatoeba/tatoeba.yid-eng.yid", lines),
        ("tatoeba", "zh", "xtreme/tatoeba/tatoeba.cmn-eng.cmn", lines),
    ],
)
def test_real_files(
    shared_data: Path, task: str, language: str, name: str, counted: Callable[[Path], int]
) -> None:
    found = list(read(shared_data / name, get_task(task), language))
    assert len(found) == counted(shared_data / name)
    assert all(found)


def test_real_tokens_and_tags_stay_together(shared_data: Path) -> None:
    path = shared_data / "xtreme/panx/dev-zh.tsv"
    found = [row for (row,) in read(path, get_task("panx"), "zh") if isinstance(row, TaggedRow)]
    told = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert [list(pair) for row in found for pair in zip(row.tokens, row.tags or (), strict=True)] == told
    assert sum(token == "\u200b" for row in found for token in row.tokens) == 2
    assert max(len(row.tokens) for row in found) == 732
    assert len(found) == sentences(path) == 10_000


def test_real_quotes_are_kept(shared_data: Path) -> None:
    path = shared_data / "xtreme/pawsx/dev-fr.tsv"
    found = [row for (row,) in read(path, get_task("pawsx"), "fr") if isinstance(row, PairRow)]
    assert sum('"' in row.first + str(row.second) for row in found) == 207


def test_real_context_lengths(shared_data: Path) -> None:
    path = shared_data / "xtreme/tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json"
    found = [row for (row,) in read(path, get_task("tydiqa"), "en") if isinstance(row, QuestionRow)]
    assert max(len(row.context) for row in found) == 19872


@pytest.mark.parametrize("language", ["en", "sw"])
def test_real_blanked_answers(shared_data: Path, language: str) -> None:
    path = shared_data / f"xtreme/tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{language}.dev.json"
    with pytest.raises(HiddenLabelsError, match="labels of this file are hidden"):
        list(read(path, get_task("tydiqa"), language))


def test_real_xcopa_test_files_have_no_labels(shared_data: Path) -> None:
    """As XTREME-R's download leaves them: a label 0 on every line."""
    with pytest.raises(HiddenLabelsError, match="all 500 labels are 0"):
        read(shared_data / "xtreme/xcopa/test-sw.jsonl", get_task("xcopa"), "sw")


def test_a_task_of_ones_own_from_sick(shared_data: Path) -> None:
    """A release that no entry names: its header is enough, the entry says what its labels are called."""
    labels = ("entailment", "neutral", "contradiction")
    sick = Task(
        name="sick", role="intermediate", kind="sequence", title="SICK", form="pair", languages=("en",),
        trained_on="sick", metric="accuracy", licence="CC BY-NC-SA 3.0", citation="marelli-etal-2014-sick",
        obtain="SICK.", labels=labels, label_names={label.upper(): label for label in labels},
    )  # fmt: skip
    path = shared_data / "english/sick/SICK.txt"
    found = [row for (row,) in read(path, sick, "en") if isinstance(row, PairRow)]
    assert len(found) == lines(path) == 4927
    assert found[0] == PairRow(
        "6",
        "There is no boy playing outdoors and there is no man smiling",
        "A group of kids is playing in a yard and an old man is standing in the background",
        "neutral",
    )
