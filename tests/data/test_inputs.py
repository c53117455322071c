"""Text for prediction: every kind's form, errors with their line, spans with offsets."""

import pytest

from adapterstilts.data.inputs import candidates, read_inputs, with_spans
from adapterstilts.errors import DataError


def test_pair_by_tab_and_by_json():
    by_tab, by_json = read_inputs("sequence", ["a b\tc", '{"first": "x", "id": "7"}'], "f")
    assert (by_tab.row.first, by_tab.row.second, by_tab.row.label) == ("a b", "c", None)
    assert (by_json.row.id, by_json.row.second) == ("7", None)


def test_question():
    (given,) = read_inputs("span", ["Who?\tAnna did."], "f")
    assert (given.row.question, given.row.context, given.row.answers) == ("Who?", "Anna did.", None)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Anna, bitte!", ("Anna", ",", "bitte", "!")),
        ("我在北京。", ("我", "在", "北", "京", "。")),
        ("हिन्दी भाषा।", ("हिन्दी", "भाषा", "।")),
        ("مُحَمَّد می‌رود", ("مُحَمَّد", "می‌رود")),
        ("don't 3.5", ("don", "'", "t", "3", ".", "5")),
    ],
)
def test_tokens_of_a_plain_sentence(text, tokens):
    (given,) = read_inputs("tagging", [text], "f")
    assert given.row.tokens == tokens
    assert tuple(text[start:end] for start, end in given.offsets) == tokens


def test_spans_join_one_entity_and_carry_character_offsets():
    (given,) = read_inputs("tagging", ["Anna Maria Schmidt in Bonn Tom"], "f")
    tags = ["B-PER", "I-PER", "I-PER", "O", "B-LOC", "B-PER"]
    spans = with_spans(given, {"id": "1", "tags": tags})["spans"]
    assert [(span["label"], span["text"]) for span in spans] == [
        ("PER", "Anna Maria Schmidt"),
        ("LOC", "Bonn"),
        ("PER", "Tom"),
    ]
    assert spans[1]["start"] == 22 and spans[1]["end"] == 26


def test_parts_of_speech_give_one_span_a_token():
    (given,) = read_inputs("tagging", ['{"tokens": ["a", "b"]}'], "f")
    spans = with_spans(given, {"tags": ["NOUN", "NOUN"]})["spans"]
    assert [(span["text"], span["start"]) for span in spans] == [("a", 0), ("b", 2)]


@pytest.mark.parametrize(
    ("kind", "line"),
    [("span", "no context"), ("choice", "text"), ("choice", '{"prompt": "p", "choices": ["one"]}'),
     ("tagging", '{"tokens": "abc"}'), ("choice", '{"prompt": "p", "choices": "abc"}'),
     ("sequence", "{bad"), ("tagging", '{"tokens": []}'), ("sequence", "a\tb\tc"), ("span", "  \tc")],
)  # fmt: skip
def test_a_wrong_line_is_named(kind, line):
    good = {
        "span": "q\tc",
        "choice": '{"prompt": "p", "choices": ["a", "b"]}',
        "sequence": "a",
        "tagging": "a",
    }[kind]
    with pytest.raises(DataError, match=r"inputs.txt, line 2: a"):
        read_inputs(kind, [good, line], "inputs.txt")


def test_empty_input_is_an_error():
    with pytest.raises(DataError, match="no text"):
        read_inputs("sequence", ["", " "], "f")
    with pytest.raises(DataError, match="no text"):
        candidates(["\n"], "f")
