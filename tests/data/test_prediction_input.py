"""Text for prediction: every kind's form, errors with their line, spans with offsets."""

import json
import re

import pytest

from adapterstilts.data.prediction_input import InputForm, candidates, read_inputs
from adapterstilts.errors import DataError
from adapterstilts.kinds.tagging import _with_spans

PAIR, ONE = InputForm("sequence", 2), InputForm("sequence", 1)


def read(form, *lines, name="f"):
    return [item.row for item in read_inputs(form, lines, name)]


def test_pair_by_tab_and_by_json():
    by_tab, by_json = read("sequence", "a b\tc", '{"first": "x", "id": "7"}')
    assert (by_tab.first, by_tab.second, by_tab.label) == ("a b", "c", None)
    assert (by_json.id, by_json.second) == ("7", None)


@pytest.mark.parametrize(
    "keys",
    [("first", "second"), ("premise", "hypothesis"), ("sentence1", "sentence2"), ("text", "text_pair"),
     ("question1", "question2"), ("text_a", "text_b")],
)  # fmt: skip
def test_the_keys_of_well_known_data_sets_are_taken(keys):
    (row,) = read(PAIR, json.dumps({keys[0]: "a b", keys[1]: "c", "idx": 3}))
    assert (row.first, row.second, row.id) == ("a b", "c", "3")


def test_the_other_kinds_take_them_too():
    (question,) = read("span", '{"query": "Who?", "passage": "Anna did."}')
    assert (question.question, question.context) == ("Who?", "Anna did.")
    (choice,) = read("choice", '{"question": "p", "options": ["a", "b"]}')
    assert (choice.prompt, choice.choices) == ("p", ("a", "b"))
    assert read("tagging", '{"words": ["a", "b"]}')[0].tokens == ("a", "b")
    assert read("tagging", '{"sentence": "a b"}')[0].tokens == ("a", "b")
    assert read("retrieval", '{"query": "a b"}')[0].text == "a b"


def test_a_task_of_two_texts_refuses_one_and_the_other_way_round():
    for line in ("Anna sees Tom.", '{"first": "a"}', '{"first": "a", "second": null}'):
        with pytest.raises(DataError, match="line 1: one text, but this task compares two"):
            read(PAIR, line)
    with pytest.raises(DataError, match="two texts, but this task takes one"):
        read(ONE, '{"first": "a", "second": "b"}')
    with pytest.raises(DataError, match="2 texts with tabs between them, where 1"):
        read(ONE, "a\tb")
    assert read(ONE, "a")[0].second is None


def test_question():
    (row,) = read("span", "Who?\tAnna did.")
    assert (row.question, row.context, row.answers) == ("Who?", "Anna did.", None)


@pytest.mark.parametrize(
    ("form", "text", "taken"),
    [
        (InputForm("tagging"), r"in C:\temp", r"in C:\temp"),
        (PAIR, r"a\tb\textbf", "a\tb\\textbf"),
        (PAIR, "a\tb\\textbf", "a\tb\\textbf"),
        (ONE, r"a\tb", r"a\tb"),
        (InputForm("span"), r"q\t\theta", "q\t\\theta"),
        (InputForm("retrieval"), r"\tau", r"\tau"),
    ],
)
def test_backslash_t_is_text_but_between_two_parts(form, text, taken):
    assert form.with_tab(text) == taken


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Anna, bitte!", ("Anna", ",", "bitte", "!")),
        ("我在北京。", ("我", "在", "北", "京", "。")),
        ("हिन्दी भाषा।", ("हिन्दी", "भाषा", "।")),
        ("مُحَمَّد می\u200cرود", ("مُحَمَّد", "می\u200cرود")),
        ("don't 3.5", ("don", "'", "t", "3", ".", "5")),
        ("ދިވެހި ބަސް", ("ދިވެހި", "ބަސް")),
        ("Hi 👩\u200d👧!👍🏽", ("Hi", "👩\u200d👧", "!", "👍🏽")),
        ("ירושלים, שלום", ("ירושלים", ",", "שלום")),
        ("\u200fאב\u200e ג", ("\u200f", "אב", "\u200e", "ג")),
    ],
)
def test_tokens_of_a_plain_sentence(text, tokens):
    (item,) = read_inputs("tagging", [text], "f")
    assert item.row.tokens == tokens
    assert tuple(text[start:end] for start, end in item.offsets) == tokens


def test_spans_carry_character_offsets():
    (item,) = read_inputs("tagging", ["Anna Maria Schmidt in Bonn Tom"], "f")
    spans = _with_spans(item, {"id": "1"}, [("PER", 0, 2), ("LOC", 4, 4)])["spans"]
    assert [(span["label"], span["text"]) for span in spans] == [
        ("PER", "Anna Maria Schmidt"),
        ("LOC", "Bonn"),
    ]
    assert (spans[1]["start"], spans[1]["end"]) == (22, 26)


def test_spans_hold_whole_characters():
    (item,) = read_inputs("tagging", ["น้ำใส"], "f")  # a token for each code point, as in PAN-X
    (span,) = _with_spans(item, {}, [("LOC", 0, 0)])["spans"]
    assert span["text"] == "น้ำ"


def test_given_tokens_count_as_joined_by_spaces():
    (item,) = read_inputs("tagging", ['{"tokens": ["a b", "c"]}'], "f")
    (span,) = _with_spans(item, {}, [("X", 1, 1)])["spans"]
    assert (span["text"], span["start"]) == ("c", 4)


DEEP = '{"first": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(
    ("kind", "line", "said"),
    [
        ("span", "no context", "there is no context"),
        ("choice", "text", "there are no choices"),
        ("choice", '{"prompt": "p", "choices": ["one"]}', "1 choices"),
        ("choice", '{"prompt": "p", "choices": "abc"}', "the choices are text, not a list"),
        ("choice", json.dumps({"prompt": "p", "choices": ["a"] * 1001}), "1001 choices"),
        ("tagging", '{"tokens": "abc"}', "the tokens are text, not a list"),
        ("tagging", '{"tokens": []}', "no token"),
        ("tagging", '{"tokens": ["a", ""]}', "number 2 of the tokens is empty"),
        ("tagging", '{"tokens": ["a", 3]}', "number 2 of the tokens is a number, not text"),
        ("tagging", '{"tokens": ["a", ["b"]]}', "number 2 of the tokens is a list, not text"),
        ("tagging", '{"tokens": ["a", null]}', "number 2 of the tokens is null, not text"),
        ("tagging", '{"tokens": ["a\\ud83d"]}', "field 'tokens' holds half of a surrogate pair"),
        ("tagging", '{"tokens": ["a"], "text": "a"}', "both tokens and a text"),
        ("tagging", "\u200b\ufeff", "the text is empty, or nothing in it can be seen"),
        ("tagging", "a \udcff b", "not UTF-8 text (byte 0xff)"),
        ("sequence", "{bad", "not valid JSON"),
        ("sequence", '{"first": "a"} more', "not valid JSON: Extra data (column 16)"),
        ("sequence", "a\tb\tc", "3 texts with tabs between them"),
        ("sequence", '{"first": "a", "hypothesys": "b"}', "'hypothesys': did you mean 'hypothesis'?"),
        ("sequence", '{"first": "a", "first": "b"}', "the key 'first' occurs twice"),
        ("sequence", '{"first": "a", "premise": "b"}', "'first' and 'premise' both hold the first"),
        ("sequence", '{"first": 5}', "the first is a number, not text"),
        ("sequence", '{"first": true}', "the first is true, not text"),
        ("sequence", '{"first": {"a": 1}}', "the first is an object, not text"),
        ("sequence", '{"first": "a \\ud83d b"}', "holds half of a surrogate pair"),
        ("sequence", '{"first": "a", "second": " "}', "the second is empty"),
        ("sequence", '{"second": "a"}', "there is no first"),
        ("sequence", '{"first": "a", "id": [1]}', "the id is a list"),
        ("sequence", '{"first": "a", "id": null}', "the id is null"),
        ("sequence", '{"first": "a", "id": "\\udc00"}', "field 'id' holds half of a surrogate pair"),
        ("sequence", '{"first": "a", "id": ' + "9" * 5000 + "}", "a number of 5,000 digits"),
        ("sequence", '{"first": "a", "id": NaN}', "NaN is not a JSON number"),
        ("sequence", DEEP, "nested too deep"),
        ("span", "  \tc", "the question is empty"),
        ("span", "q\t\u2060", "the context is empty"),
        ("retrieval", '{"text": ["a"]}', "the text is a list"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(kind, line, said):
    good = {"span": "q\tc", "choice": '{"prompt": "p", "choices": ["a", "b"]}'}.get(kind, "a")
    with pytest.raises(DataError) as caught:
        list(read_inputs(kind, [good, line], "inputs.txt"))
    assert str(caught.value).startswith("inputs.txt, line 2: ") and said in str(caught.value)
    assert f"A {kind} task takes" in str(caught.value)


def test_every_line_of_json_lines_is_an_object():
    for line in ('"just a string"', "[1]", "plain text", "null"):
        with pytest.raises(DataError, match="line 1: not"):
            read("tagging", line, name="inputs.jsonl")
    assert read("tagging", '"a string"', name="inputs.txt")[0].tokens == ('"', "a", "string", '"')


def test_a_huge_whole_number_is_an_id():
    assert read("tagging", '{"text": "a", "id": 123456789012345678901234567890}')[0].id.startswith("1234567")


def test_blank_lines_count_but_hold_nothing():
    assert [row.id for row in read("tagging", "", "a", " ", "b")] == ["2", "4"]


def test_a_line_of_tabs_is_not_empty():
    with pytest.raises(DataError, match="f, line 2: the first is empty"):
        read("sequence", "a\tb", "\t")


def test_a_header_is_no_pair():
    for line in ("premise\thypothesis", "sentence1\tsentence2", "question\tcontext"):
        with pytest.raises(DataError, match="line 1: a header"):
            read("span" if "context" in line else "sequence", line)


def test_csv_is_refused():
    with pytest.raises(DataError, match=r"in.CSV: CSV is not read here"):
        read("tagging", "a", name="in.CSV")


def test_lines_are_read_as_they_are_asked_for():
    def endless():
        while True:
            yield "a"

    inputs = read_inputs("tagging", endless(), "f")
    assert [next(inputs).row.id for _ in range(3)] == ["1", "2", "3"]


def test_empty_input_is_an_error():
    with pytest.raises(DataError, match="no text"):
        read("sequence", "", " ")
    with pytest.raises(DataError, match="no text"):
        list(candidates(["\n"], "f"))


def test_candidates_are_text_or_json():
    first, second = candidates(["a b\n", '{"id": "x", "text": "c"}'], "f")
    assert (first.row.id, first.row.text, first.row.side) == ("1", "a b", "candidate")
    assert (second.row.id, second.row.text) == ("x", "c")
    with pytest.raises(DataError, match="f, line 2: unknown key 'txt'"):
        list(candidates(["a", '{"txt": "c"}'], "f"))


TAGGING = InputForm("tagging", labels=("O", "B-LOC", "NOUN"))


@pytest.mark.parametrize(
    ("form", "line", "said"),
    [
        ("sequence", "Premise\tHypothesis", "a header (Premise and Hypothesis)"),
        (TAGGING, "Oslo\tB-LOC", "a token with its tag"),
        (TAGGING, "house\tNOUN", "a token with its tag"),
        (TAGGING, "Oslo NNP B-LOC", "a token with its tag"),
        ("retrieval", "en-1\tA sentence.", "2 texts with tabs between them, where 1 can be used"),
    ],
)
def test_lines_of_a_table_are_no_text(form, line, said):
    with pytest.raises(DataError, match=f"inputs.tsv, line 1: {re.escape(said)}"):
        list(read_inputs(form, [line], "inputs.tsv"))


def test_text_that_only_resembles_a_table_is_tagged():
    for text in ("Blood type O", "house NOUN", "Oslo\tOsaka", "B-LOC"):
        assert len(list(read_inputs(TAGGING, [text], "inputs.txt"))) == 1


def test_candidates_have_ids_of_their_own():
    with pytest.raises(DataError, match="two texts have the id 'x'"):
        list(candidates(['{"text": "a", "id": "x"}', '{"text": "b", "id": "x"}'], "pool.jsonl"))


def test_candidates_are_no_csv():
    with pytest.raises(DataError, match="CSV is not read here"):
        list(candidates(["a", "b"], "pool.csv"))
