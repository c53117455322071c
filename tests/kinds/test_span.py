"""Extractive QA: windows, targets, the search for the best span, scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from adapterstilts.data.rows import Answer, QuestionRow
from adapterstilts.errors import DataError
from adapterstilts.kinds.span import KIND
from adapterstilts.kinds.span import SpanEncoding as Encoding

CONTEXT = "Anna went to Paris . Tom saw the red house in Berlin ."


@pytest.fixture
def task(task_of):
    return task_of("span")


def row(context: str, *answers: str, question: str = "who went ?", name: str = "1") -> QuestionRow:
    return QuestionRow(name, question, context, tuple(Answer(text, context.index(text)) for text in answers))


def perfect(features):
    """Logits that point at each window's target, less at (0, 0) than at an answer."""
    outputs = []
    for feature in features:
        logits = np.zeros((feature.length, 2), np.float32)
        certain = 10 if feature.target[0] else 1
        logits[feature.target[0], 0] = logits[feature.target[1], 1] = certain
        outputs.append(logits)
    return outputs


def read(path: Path) -> list[QuestionRow]:
    return [
        QuestionRow(
            qa["id"], qa["question"], paragraph["context"],
            tuple(Answer(answer["text"], answer["answer_start"]) for answer in qa["answers"]),
        )
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]  # fmt: skip


def test_a_short_context_is_the_tokenizers_own_pair(tokenizer, task):
    item = row(CONTEXT, "red house")
    (feature,) = KIND.encode([item], task, tokenizer, Encoding())
    want = tokenizer(item.question, item.context, return_offsets_mapping=True)
    assert feature.ids[0].tolist() == want["input_ids"]
    assert feature.types[0].tolist() == want["token_type_ids"]
    offsets = [
        o if s == 1 else (-1, -1) for o, s in zip(want["offset_mapping"], want.sequence_ids(), strict=True)
    ]
    assert [tuple(o) for o in feature.align.tolist()] == offsets
    tokens = tokenizer.convert_ids_to_tokens(feature.ids[0].tolist())
    assert tokens[feature.target[0] : feature.target[1] + 1] == ["red", "house"]


def test_the_first_of_several_answers_is_trained_on_and_none_is_the_first_token(tokenizer, task):
    rows = [row(CONTEXT, "Berlin", "Paris"), row(CONTEXT), QuestionRow("3", "who ?", CONTEXT, None)]
    features = KIND.encode(rows, task, tokenizer, Encoding())
    assert tokenizer.convert_ids_to_tokens(features[0].ids[0].tolist())[features[0].target[0]] == "Berlin"
    assert features[1].target.tolist() == [0, 0]
    assert features[2].target.tolist() == []
    assert KIND.collate(features[:2], 1)["labels"].tolist() == [f.target.tolist() for f in features[:2]]
    assert "labels" not in KIND.collate(features, 1)


def test_an_answer_inside_subwords_becomes_those_that_overlap_it(tokenizer, task):
    item = QuestionRow("1", "who ?", "a train saw bread .", (Answer("rain s", 3),))
    (feature,) = KIND.encode([item], task, tokenizer, Encoding())
    assert feature.align[feature.target].tolist() == [[2, 7], [8, 11]]


def test_windows_cover_the_context_and_share_the_stride(tokenizer, task):
    context = " ".join(["dog"] * 99 + ["Berlin"] + ["cat"] * 100)
    encoding = Encoding(max_length=46, stride=10)  # 3 special tokens, 3 of the question, 40 of the context
    features = KIND.encode([row(context, "Berlin")], task, tokenizer, encoding)
    ranges = [(f.align[f.align[:, 0] >= 0, 0].min(), f.align.max()) for f in features]
    firsts = [len(context[:start].split()) for start, _ in ranges]
    assert firsts == [0, 30, 60, 90, 120, 150, 180]
    assert ranges[-1][1] == len(context)
    holds = [f.target[0] > 0 for f in features]
    assert holds == [False, False, True, True, False, False, False]  # word 99 is in [60, 100) and [90, 130)
    assert all(f.target.tolist() == [0, 0] for f in features if not f.target[0])
    (prediction,) = KIND.decode(perfect(features), features, [row(context, "Berlin")], task, encoding)
    assert prediction["text"] == "Berlin" and prediction["start"] == context.index("Berlin")


def test_a_stride_as_long_as_the_window_still_advances(tokenizer, task):
    features = KIND.encode([row("dog " * 300)], task, tokenizer, Encoding(max_length=24, stride=500))
    assert features[-1].align.max() == 300 * 4 - 1
    assert max(f.length for f in features) == 24


def test_a_long_question_leaves_half_of_the_window(tokenizer, task):
    item = row("dog " * 30, question="who " * 100)
    features = KIND.encode([item], task, tokenizer, Encoding(max_length=32, stride=4))
    assert [int((f.align[:, 0] >= 0).sum()) for f in features] == [16, 16, 6]
    assert max(f.length for f in features) == 32


def test_loss_ignores_padding(tokenizer, task):
    rows = [row("Anna went .", "Anna"), row(CONTEXT, "Berlin")]
    features = KIND.encode(rows, task, tokenizer, Encoding())
    batch = KIND.collate(features, tokenizer.pad_token_id)
    logits = torch.zeros(*batch["input_ids"].shape, 2)
    logits[0, features[0].length :] = 50.0  # would drown the answer if it counted
    want = np.mean([np.log(feature.length) for feature in features])
    assert KIND.loss(logits, batch).item() == pytest.approx(want, rel=1e-5)


def decode(context, windows, task, encoding=None):
    """Decodes made-up windows, each a list of ((first, last) character, start logit, end logit)."""
    from adapterstilts.kinds.base import Feature

    features, outputs = [], []
    for window in windows:
        ids = np.zeros(len(window), np.int32)
        align = np.array([characters for characters, *_ in window], np.int32)
        features.append(Feature(0, (ids,), (ids,), ids[:0], align))
        outputs.append(np.array([logits for _, *logits in window], np.float32))
    rows = [QuestionRow("q", "?", context, ())]
    return KIND.decode(outputs, features, rows, task, encoding or Encoding())[0]


CLS = ((-1, -1), 0.0, 0.0)


def test_the_best_valid_span_by_hand(task):
    # the best start (c) stands after the best end (a): a..c is 1 + 3 = 4, c..c 4 + 3 = 7, a..a 1 + 5 = 6
    window = [CLS, ((0, 1), 1, 5), ((2, 3), 0, 0), ((4, 5), 4, 3)]
    found = decode("a b c", [window], task)
    assert (found["text"], found["start"], found["end"], found["score"]) == ("c", 4, 5, 7.0)
    assert [span["text"] for span in found["n_best"]] == ["c", "a", "a b c", "b c", "a b"]
    total = sum(np.exp([7, 6, 4, 3, 1, 0]))
    assert found["n_best"][1]["probability"] == pytest.approx(np.exp(6) / total, abs=1e-6)


def test_a_span_is_no_longer_than_max_answer(task):
    window = [CLS, ((0, 1), 9, 0), ((2, 3), 0, 0), ((4, 5), 0, 9)]
    assert decode("a b c", [window], task)["text"] == "a b c"
    found = decode("a b c", [window], task, Encoding(max_answer=2))
    assert found["text"] in ("a", "a b", "b c", "c") and found["score"] == 9.0


def test_windows_compete_and_a_span_found_twice_counts_once(task):
    first = [CLS, ((0, 1), 2, 2), ((2, 3), 1, 1)]
    second = [CLS, ((2, 3), 3, 3), ((4, 5), 0, 0)]
    found = decode("a b c", [first, second], task)
    assert (found["text"], found["score"]) == ("b", 6.0)
    texts = [span["text"] for span in found["n_best"]]
    assert len(texts) == len(set(texts))


def test_text_is_cut_from_the_context_without_surrounding_space(task):
    found = decode("x  Ünï y", [[CLS, ((1, 6), 5, 5), ((6, 8), 0, 0)]], task)
    assert (found["text"], found["start"], found["end"]) == ("Ünï", 3, 6)


def test_no_answer_wins_only_where_the_task_has_it(task, task_of):
    sure = [((-1, -1), 6.0, 4.0), ((0, 1), 3, 3)]
    unsure = [((-1, -1), 3.0, 4.0), ((2, 3), 0, 0)]
    assert decode("a b", [sure, unsure], task)["text"] == "a"
    open_task = task_of("span", unanswerable=True)
    found = decode("a b", [sure, unsure], open_task)  # the least null score over windows: 7 > 6
    assert (found["text"], found["start"], found["end"], found["score"]) == ("", -1, -1, 7.0)
    assert [span["text"] for span in found["n_best"]] == ["", "a", "b"]
    assert decode("a b", [sure, unsure], open_task, Encoding(null_threshold=1.5))["text"] == "a"


def test_an_empty_context_has_no_answer(tokenizer, task):
    item = QuestionRow("1", "who ?", "", None)
    features = KIND.encode([item], task, tokenizer, Encoding())
    logits = [np.zeros((features[0].length, 2), np.float32)]
    (found,) = KIND.decode(logits, features, [item], task, Encoding())
    assert (found["text"], found["start"], found["n_best"]) == ("", -1, [])


def test_scores_by_hand(task):
    rows = [row(CONTEXT, "Paris"), row(CONTEXT, "the red house")]
    metrics = KIND.score([{"id": "1", "text": "Paris"}, {"id": "1", "text": "red dog"}], rows, task, "en")
    assert metrics == {
        "em": 50.0,
        "f1": 75.0,
        "score": 62.5,
    }  # "red dog" against "red house": 1 of 2 both ways
    with pytest.raises(DataError, match="no gold"):
        KIND.score([{"id": "1", "text": ""}], [QuestionRow("1", "?", "a", None)], task, "en")


@pytest.mark.parametrize(
    ("language", "em", "f1"), [("en", 99.9, 99.9), ("zh", 98, 98), ("ar", 98.5, 99), ("hi", 98.5, 99)]
)
def test_gold_answers_of_xquad_are_found_again(shared_data, real_tokenizer, task, language, em, f1):
    """What is missing are answers of over 30 subwords and ones that end inside a subword ("2018.")."""
    rows, encoding = (
        read(shared_data / "xtreme" / "xquad" / f"xquad.{language}.json")[:300],
        Encoding(max_length=384),
    )
    features = KIND.encode(rows, task, real_tokenizer, encoding)
    predictions = KIND.decode(perfect(features), features, rows, task, encoding)
    for prediction, item in zip(predictions, rows, strict=True):
        assert prediction["text"] == item.context[prediction["start"] : prediction["end"]]
    metrics = KIND.score(predictions, rows, task, language)
    assert metrics["em"] >= em and metrics["f1"] >= f1


def test_a_context_of_twenty_thousand_characters(shared_data, real_tokenizer, task):
    path = shared_data / "xtreme" / "tydiqa" / "tydiqa-goldp-v1.1-train" / "tydiqa.goldp.en.train.json"
    rows, encoding = read(path), Encoding(max_length=384)
    longest = max(rows, key=lambda item: len(item.context))
    assert len(longest.context) == 19872
    features = KIND.encode([longest], task, real_tokenizer, encoding)
    assert max(f.length for f in features) == 384 and len(features) > 10
    seen = np.zeros(19872, bool)
    for start, end in np.concatenate([f.align[f.align[:, 0] >= 0] for f in features]):
        seen[start:end] = True
    assert all(seen[n] or char.isspace() for n, char in enumerate(longest.context))
    (prediction,) = KIND.decode(perfect(features), features, [longest], task, encoding)
    assert KIND.score([prediction], [longest], task, "en")["em"] == 100.0
