"""Masked language modelling: which subwords are hidden and how, windows of long texts, scores by hand."""

import numpy as np
import pytest
import torch

from adapterstilts.data.rows import TextRow
from adapterstilts.errors import ConfigError
from adapterstilts.kinds.base import Encoding
from adapterstilts.kinds.mlm import IGNORED, KIND, _Masking
from adapterstilts.run.training_data import _hub_text
from adapterstilts.tasks.plain_text import MLM

TEXT = "the cat saw Anna in the green house and the dog went to the river because it was big . "
ROWS = [TextRow(str(n), TEXT) for n in range(40)] + [TextRow("short", "dog"), TextRow("long", TEXT * 9)]
ENCODING = Encoding(max_length=40)


@pytest.fixture(scope="module")
def features(tokenizer):
    return KIND.encode(ROWS, MLM, tokenizer, ENCODING)


def test_every_row_has_features_of_the_length(features):
    assert {feature.row for feature in features} == set(range(len(ROWS)))
    assert max(feature.length for feature in features) == 40
    assert sum(feature.row == 41 for feature in features) > 4


def test_the_windows_of_a_text_hold_it_all(features, tokenizer):
    parts = [_Masking.unmasked(feature)[1:-1] for feature in features if feature.row == 41]
    whole = tokenizer(TEXT * 9, add_special_tokens=False)["input_ids"]
    assert np.concatenate(parts).tolist() == whole


def test_a_share_is_hidden_and_special_tokens_never_are(features, tokenizer):
    special = set(tokenizer.all_special_ids)
    for feature in features:
        chosen = feature.target != IGNORED
        free = [piece not in special for piece in _Masking.unmasked(feature)]
        assert chosen.sum() == max(1, round(0.15 * sum(free)))
        assert not set(feature.target[chosen].tolist()) & special
        assert (feature.ids[0] == _Masking.unmasked(feature))[~chosen].all()


def test_of_the_hidden_ones_eight_in_ten_are_masked_and_one_is_exchanged(features, tokenizer):
    masking = _Masking.of(tokenizer)
    seen, true = [], []
    for step in range(60):
        for feature in masking(features, (1, step)):
            chosen = feature.target != IGNORED
            seen += feature.ids[0][chosen].tolist()
            true += feature.target[chosen].tolist()
    masked = np.array(seen) == tokenizer.mask_token_id
    kept = np.array(seen) == np.array(true)
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert kept.mean() == pytest.approx(0.1, abs=0.02)


def test_masks_depend_on_the_seed_and_the_step_alone(features, tokenizer):
    masking = _Masking.of(tokenizer)
    first, again, other = (masking(features, seed) for seed in ((1, 7), (1, 7), (1, 8)))
    twice = masking(masking(features, (1, 3)), (1, 7))
    for feature, same, second in zip(first, again, twice, strict=True):
        assert feature.ids[0].tolist() == same.ids[0].tolist() == second.ids[0].tolist()
        assert feature.target.tolist() == same.target.tolist() == second.target.tolist()
    assert any(a.target.tolist() != b.target.tolist() for a, b in zip(first, other, strict=True))


def test_a_tokenizer_without_a_mask_is_refused(cleaning_tokenizer):
    with pytest.raises(ConfigError, match="no mask token"):
        _Masking.of(cleaning_tokenizer)


def test_scores_by_hand(features):
    chosen = features[:2]
    counts = [int((feature.target != IGNORED).sum()) for feature in chosen]
    logits = torch.tensor([[-1.0, 1.0]] * counts[0] + [[-3.0, 0.0]] * counts[1])
    outputs = KIND.split(logits, chosen)
    assert [len(each) for each in outputs] == counts
    found = KIND.decode(outputs, chosen, ROWS[:2], MLM, ENCODING)
    assert found[0] == {"id": "0", "masked": counts[0], "right": counts[0], "log_likelihood": -counts[0]}
    metrics = KIND.score(found, ROWS[:2], MLM, "en")
    assert metrics["score"] == metrics["accuracy"] == pytest.approx(100 * counts[0] / sum(counts), abs=1e-5)
    mean = (counts[0] + 3 * counts[1]) / sum(counts)
    assert metrics["perplexity"] == pytest.approx(np.exp(mean), abs=1e-5)
    assert KIND.loss(logits, {}).item() == pytest.approx(mean)


def test_another_hub_dataset_takes_the_place_of_the_entrys_own():
    source = _hub_text("someone/text:2024.{lang}").hub
    assert (source.repo, source.config, source.columns) == ("someone/text", "2024.{lang}", ("text",))
    assert _hub_text("someone/text").hub.config is None
