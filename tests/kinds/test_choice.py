"""Multiple choice: pairs, groups of different size, accuracy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from adapterstilts.data.rows import ChoiceRow
from adapterstilts.errors import DataError
from adapterstilts.kinds.base import Encoding
from adapterstilts.kinds.choice import KIND

ROWS = [
    ChoiceRow("1", "the dog", ("a cat", "went"), 1),
    ChoiceRow("2", "Anna saw", ("bread .", "a", "the big train"), 2),
]


@pytest.fixture
def task(task_of):
    return task_of("choice")


def test_each_choice_is_the_pair_that_the_tokenizer_makes(tokenizer, task):
    features = KIND.encode(ROWS, task, tokenizer, Encoding())
    for row, feature in zip(ROWS, features, strict=True):
        want = [tokenizer(row.prompt, choice) for choice in row.choices]
        assert [ids.tolist() for ids in feature.ids] == [pair["input_ids"] for pair in want]
        assert [types.tolist() for types in feature.types] == [pair["token_type_ids"] for pair in want]
    assert [f.target.tolist() for f in features] == [[2, 1], [3, 2]]


def test_a_long_prompt_loses_its_start_and_the_choice_nothing(tokenizer, task):
    row = ChoiceRow("1", "dog " * 40 + "who went ?", ("a cat",), 0)
    (feature,) = KIND.encode([row], task, tokenizer, Encoding(max_length=12))
    tokens = tokenizer.convert_ids_to_tokens(feature.ids[0].tolist())
    assert tokens == ["<s>", "dog", "dog", "dog", "dog", "who", "went", "?", "</s>", "a", "cat", "</s>"]


def test_a_choice_longer_than_the_model_is_cut(tokenizer, task):
    (feature,) = KIND.encode(
        [ChoiceRow("1", "dog", ("cat " * 40,), 0)], task, tokenizer, Encoding(max_length=12)
    )
    assert feature.length == 12


def test_groups_of_different_size_share_a_batch(tokenizer, task):
    features = KIND.encode(ROWS, task, tokenizer, Encoding())
    batch = KIND.collate(features, tokenizer.pad_token_id)
    assert batch["input_ids"].shape[0] == 5
    assert batch["labels"].tolist() == [[2, 1], [3, 2]]
    logits = torch.tensor([0.0, math.log(3.0), 0.0, 0.0, math.log(2.0)], requires_grad=True)
    loss = KIND.loss(logits, batch)
    assert loss.item() == pytest.approx((-math.log(3 / 4) - math.log(2 / 4)) / 2)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.tolist() == pytest.approx([1 / 8, -1 / 8, 1 / 8, 1 / 8, -1 / 4])
    assert [x.tolist() for x in KIND.split(torch.arange(5.0), features)] == [[0, 1], [2, 3, 4]]


def test_decode_and_score(tokenizer, task):
    outputs = [np.array([1, 2], np.float32), np.array([5, 0, 1], np.float32)]
    predictions = KIND.decode(outputs, [], ROWS, task, Encoding())
    assert [p["choice"] for p in predictions] == [1, 0]
    assert sum(predictions[1]["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert KIND.score(predictions, ROWS, task, "en") == {"accuracy": 50.0, "score": 50.0}


def test_bad_rows_are_named(tokenizer, task):
    with pytest.raises(DataError, match="row 8: gold choice 2"):
        KIND.encode([ChoiceRow("8", "a", ("b", "c"), 2)], task, tokenizer, Encoding())
    with pytest.raises(DataError, match="row 8 has no choices"):
        KIND.encode([ChoiceRow("8", "a", (), None)], task, tokenizer, Encoding())
    with pytest.raises(DataError, match="no gold"):
        KIND.score([{"id": "8", "choice": 0}], [ChoiceRow("8", "a", ("b",), None)], task, "en")
