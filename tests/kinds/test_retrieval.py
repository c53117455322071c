"""Retrieval: pooling, cosine and margin neighbours, accuracy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.kinds.embedding import pool
from adapterstilts.kinds.retrieval import KIND, _average_precision
from adapterstilts.kinds.retrieval import RetrievalEncoding as Encoding


@pytest.fixture
def task(task_of):
    return task_of("retrieval")


def at(degrees: float, length: float = 1.0) -> np.ndarray:
    angle = math.radians(degrees)
    return np.array([length * math.cos(angle), length * math.sin(angle)], np.float32)


ROWS = [
    RetrievalRow("c-hub", "hub", "candidate"),
    RetrievalRow("q0", "first", "query", ("c-hub",)),
    RetrievalRow("q1", "second", "query", ("c-far",)),
    RetrievalRow("c-far", "far", "candidate"),
]
# q1 is nearer to the hub (28 degrees) than to its own (35), but so is q0
OUTPUTS = [at(32, 5.0), at(0, 0.1), at(60), at(95, 2.0)]


def test_cosine_ignores_lengths_and_answers_for_queries_only(task):
    predictions = KIND.decode(OUTPUTS, [], ROWS, task, Encoding())
    assert [p["id"] for p in predictions] == ["q0", "q1"]
    assert [n["id"] for n in predictions[1]["neighbours"]] == ["c-hub", "c-far"]
    assert predictions[1]["neighbours"][0]["score"] == pytest.approx(math.cos(math.radians(28)), abs=1e-5)
    assert KIND.score(predictions, ROWS, task, "de") == {"accuracy": 50.0, "reverse": 50.0, "score": 50.0}


def test_the_margin_by_hand(task):
    predictions = KIND.decode(OUTPUTS, [], ROWS, task, Encoding(similarity="margin", neighbours=2))
    near, far = 0.882948, 0.819152  # cosines of q1: 28 and 35 degrees
    hub, own = (0.848048 + near) / 2, (-0.087156 + far) / 2  # the candidates' means over both queries
    want = [("c-far", far / (((near + far) / 2 + own) / 2)), ("c-hub", near / (((near + far) / 2 + hub) / 2))]
    found = [(n["id"], n["score"]) for n in predictions[1]["neighbours"]]
    assert [name for name, _ in found] == [name for name, _ in want]
    assert [score for _, score in found] == pytest.approx([score for _, score in want], abs=1e-4)
    assert [round(score, 2) for _, score in want] == [1.35, 1.03]
    assert KIND.score(predictions, ROWS, task, "de")["accuracy"] == 100.0


def test_cosine_agrees_with_a_full_matrix_and_lists_five(task):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 16)).astype(np.float32)
    rows = [RetrievalRow(str(n), "x", "query" if n < 20 else "candidate", ("25",)) for n in range(60)]
    predictions = KIND.decode(list(vectors), [], rows, task, Encoding())
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = np.argsort(-(unit[:20] @ unit[20:].T), axis=1)[:, :5] + 20
    assert [[n["id"] for n in p["neighbours"]] for p in predictions] == best.astype(str).tolist()


def test_a_zero_embedding_does_not_make_nan(task):
    outputs = [OUTPUTS[0], np.zeros(2, np.float32), *OUTPUTS[2:]]
    predictions = KIND.decode(outputs, [], ROWS, task, Encoding())
    assert all(math.isfinite(n["score"]) for p in predictions for n in p["neighbours"])


def test_missing_sides_and_gold(task):
    assert KIND.decode(OUTPUTS[:1], [], ROWS[:1], task, Encoding()) == []
    with pytest.raises(DataError, match="no candidate"):
        KIND.decode(OUTPUTS[1:2], [], ROWS[1:2], task, Encoding())
    with pytest.raises(DataError, match="query q has no gold"):
        KIND.score([{"id": "q", "neighbours": []}], [RetrievalRow("q", "a", "query")], task, "de")


def test_it_has_no_head_and_no_loss(task):
    assert KIND.head(task) is None
    with pytest.raises(ConfigError, match="no training data"):
        KIND.loss(torch.zeros(1, 2), {})


def test_encode_and_collate(tokenizer, task):
    features = KIND.encode(ROWS, task, tokenizer, Encoding(max_length=8))
    assert [f.row for f in features] == [0, 1, 2, 3]
    assert features[1].ids[0].tolist() == tokenizer("first")["input_ids"]
    assert "labels" not in KIND.collate(features, tokenizer.pad_token_id)


def test_a_candidate_is_read_with_its_paragraph_only_if_asked(tokenizer, task):
    rows = [RetrievalRow("q", "first", "query"), RetrievalRow("c", "hub", "candidate", context="far second")]
    plain, with_context = (KIND.encode(rows, task, tokenizer, Encoding(context=on)) for on in (False, True))
    assert plain[1].ids[0].tolist() == tokenizer("hub")["input_ids"]
    assert with_context[1].ids[0].tolist() == tokenizer("hub", "far second")["input_ids"]
    assert with_context[0].ids[0].tolist() == plain[0].ids[0].tolist()


def test_pooling_by_hand(tokenizer):
    s, e, pad, unk = (tokenizer.convert_tokens_to_ids(t) for t in ("<s>", "</s>", "<pad>", "<unk>"))
    dog = tokenizer.convert_tokens_to_ids("dog")
    ids = torch.tensor([[s, dog, unk, e], [s, e, pad, pad]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    hidden = torch.tensor([[[1.0], [2.0], [4.0], [9.0]], [[3.0], [5.0], [100.0], [100.0]]])
    batch = {"attention_mask": mask, "input_ids": ids}
    # <unk> is text in the first; the second is an empty text, so all its tokens count
    assert pool(hidden, batch, tokenizer, "mean").tolist() == [[3.0], [4.0]]
    assert pool(hidden, batch, tokenizer, "mean_all").tolist() == [[4.0], [4.0]]
    assert pool(hidden, batch, tokenizer, "cls").tolist() == [[1.0], [3.0]]
    assert pool(hidden.bfloat16(), batch, tokenizer, "mean").dtype == torch.float32
    with pytest.raises(ConfigError, match="mean_all"):
        pool(hidden, batch, tokenizer, "max")


def test_average_precision_by_hand(task_of):
    task = task_of("retrieval").model_copy(update={"metric": "map20"})
    rng = np.random.default_rng(0)
    rows = [RetrievalRow("q", "x", "query", ("7", "9"))]
    rows += [RetrievalRow(str(n), "x", "candidate") for n in range(30)]
    ranked = [3, 7, 1, 9, *(n for n in range(30) if n not in (3, 7, 1, 9))]
    vectors = [at(0)] * 31
    for place, n in enumerate(ranked):
        vectors[n + 1] = at(1 + place, rng.uniform(0.5, 2))
    (prediction,) = KIND.decode(vectors, [], rows, task, Encoding())
    assert [each["id"] for each in prediction["neighbours"]] == [str(n) for n in ranked[:20]]
    assert KIND.score([prediction], rows, task, "de") == {"accuracy": 0.0, "map20": 50.0, "score": 50.0}


def test_of_more_gold_than_twenty_only_twenty_can_be_found():
    gold = [str(n) for n in range(30)]
    assert _average_precision(gold, gold, 20) == 1.0
    assert _average_precision(["x", "0"], gold, 20) == pytest.approx(0.5 / 20)
    assert _average_precision(["x", "y"], ["0"], 20) == 0.0
