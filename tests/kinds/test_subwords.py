"""The tokenizer calls that kinds share."""

from __future__ import annotations

import numpy as np
import pytest

from adapterstilts.kinds.base import Encoding
from adapterstilts.kinds.subwords import Template, pieces, sequences


@pytest.mark.parametrize("family", ["tokenizer", "cleaning_tokenizer", "real_tokenizer"])
@pytest.mark.parametrize("pair", [False, True])
def test_the_template_builds_what_the_tokenizer_builds(family, pair, request):
    tokenizer = request.getfixturevalue(family)
    texts = ("a bed", "cafe and the dog")[: 2 if pair else 1]
    want = tokenizer(*texts)
    template = Template.of(tokenizer, pair=pair)
    parts = [pieces(tokenizer, [text])[text].ids for text in texts]
    ids, types = template.build(*parts)
    assert ids.tolist() == want["input_ids"]
    assert types.tolist() == want["token_type_ids"]
    assert template.size == tokenizer.num_special_tokens_to_add(pair=pair)
    last = template.start(*parts[:-1])
    assert ids[last : last + len(parts[-1])].tolist() == parts[-1].tolist()


def test_a_tokenizer_without_token_types_gives_zeros(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids", "attention_mask"])
    ((ids, types),) = sequences(tokenizer, ["a dog"], ["a cat"], 32)
    assert types.tolist() == [0] * len(ids)


def test_the_models_own_limit_counts_and_a_missing_one_does_not(tokenizer, real_tokenizer):
    assert Encoding(max_length=384).limit(tokenizer) == 128
    assert Encoding(max_length=64).limit(tokenizer) == 64
    assert real_tokenizer.model_max_length > 10**6
    assert Encoding(max_length=384).limit(real_tokenizer) == 384


def test_pieces_are_uncut_even_after_a_truncating_call(tokenizer):
    text = "the dog " * 400
    sequences(tokenizer, [text], None, 16)
    found = pieces(tokenizer, [text])[text]
    assert len(found.ids) == 800
    assert found.offsets[-1].tolist() == [len(text) - 4, len(text) - 1]
    assert found.ids.dtype == np.int32
