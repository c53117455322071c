"""Pair classification: encoding, loss, predictions, accuracy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from adapterstilts.data.rows import PairRow
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.kinds.base import Encoding
from adapterstilts.kinds.sequence import KIND

LABELS = ("no", "yes", "maybe")
ENCODING = Encoding()


@pytest.fixture
def task(task_of):
    return task_of("sequence", LABELS)


def test_pairs_and_single_texts_keep_their_order(tokenizer, task):
    rows = [
        PairRow("1", "a dog", "a cat", "yes"),
        PairRow("2", "Paris", None, "no"),
        PairRow("3", "", "", "maybe"),
    ]
    features = KIND.encode(rows, task, tokenizer, ENCODING)
    assert [f.row for f in features] == [0, 1, 2]
    assert features[0].ids[0].tolist() == tokenizer("a dog", "a cat")["input_ids"]
    assert features[0].types[0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert features[1].ids[0].tolist() == tokenizer("Paris")["input_ids"]
    assert [f.target.tolist() for f in features] == [[1], [0], [2]]
    batch = KIND.collate(features, tokenizer.pad_token_id)
    assert batch["labels"].tolist() == [[1], [0], [2]]
    assert batch["attention_mask"].sum(1).tolist() == [7, 3, 3]


def test_a_long_pair_is_cut_at_its_longer_side(tokenizer, task):
    row = PairRow("1", "dog " * 50, "a cat", "yes")
    (feature,) = KIND.encode([row], task, tokenizer, Encoding(max_length=16))
    assert feature.length == 16
    tokens = tokenizer.convert_ids_to_tokens(feature.ids[0].tolist())
    assert tokens == ["<s>", *["dog"] * 11, "</s>", "a", "cat", "</s>"]


def test_an_unknown_label_names_the_nearest(tokenizer, task):
    with pytest.raises(ConfigError, match="did you mean 'maybe'"):
        KIND.encode([PairRow("1", "a", "b", "mabye")], task, tokenizer, ENCODING)


def test_unlabelled_rows_make_no_labels(tokenizer, task):
    rows = [PairRow("1", "a", "b", None), PairRow("2", "a", "b", "no")]
    assert "labels" not in KIND.collate(KIND.encode(rows, task, tokenizer, ENCODING), 1)


def test_loss_is_cross_entropy():
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]], dtype=torch.float64)
    loss = KIND.loss(logits, {"labels": torch.tensor([[1], [0]])})
    assert loss.item() == pytest.approx((-math.log(0.75) - math.log(0.5)) / 2)


def test_decode_and_score_by_hand(task):
    rows = [PairRow(str(n), "a", "b", label) for n, label in enumerate(["yes", "no", "no", "no"])]
    outputs = [np.array(logits, np.float32) for logits in ([0, 2, 1], [3, 0, 0], [0, 1, 0], [1, 0, 0])]
    predictions = KIND.decode(outputs, [], rows, task, ENCODING)
    assert [p["label"] for p in predictions] == ["yes", "no", "yes", "no"]
    assert predictions[1]["probabilities"]["no"] == pytest.approx(math.e**3 / (math.e**3 + 2), abs=1e-6)
    metrics = KIND.score(predictions, rows, task, "en")
    # no: precision 1, recall 2/3 -> F1 0.8; yes: precision 1/2, recall 1 -> 2/3; "maybe" never occurs
    assert metrics == {"accuracy": 75.0, "macro_f1": pytest.approx((80 + 200 / 3) / 2), "score": 75.0}


def test_hidden_labels_and_no_rows_are_refused(task):
    with pytest.raises(DataError, match="row 7"):
        KIND.score([{"id": "7", "label": "no"}], [PairRow("7", "a", "b", None)], task, "en")
    with pytest.raises(DataError, match="no rows"):
        KIND.score([], [], task, "en")


def test_split_gives_one_float32_array_per_feature(tokenizer, task):
    features = KIND.encode([PairRow("1", "a", "b", None)] * 2, task, tokenizer, ENCODING)
    found = KIND.split(torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.bfloat16), features)
    assert [x.tolist() for x in found] == [[1, 2, 3], [4, 5, 6]]
    assert found[0].dtype == np.float32
