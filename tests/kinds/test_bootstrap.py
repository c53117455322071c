"""Bootstrap intervals: against closed forms and plain resampling; every metric is the rate of its counts."""

from __future__ import annotations

import numpy as np
import pytest

from adapterstilts.data.rows import PairRow, TaggedRow
from adapterstilts.kinds import sequence, tagging
from adapterstilts.kinds.bootstrap import f1_rates, interval, percent


def share(sums):
    return percent(sums[..., 0], sums[..., 1])


def hits(right: int, total: int) -> np.ndarray:
    return np.array([(n < right, 1) for n in range(total)], np.float64)


def test_the_interval_of_a_share_is_that_of_the_binomial():
    low, high = interval(hits(700, 1000), share)
    half = 1.96 * 100 * np.sqrt(0.7 * 0.3 / 1000)
    assert (low, high) == (pytest.approx(70 - half, abs=0.5), pytest.approx(70 + half, abs=0.5))


def test_the_same_counts_in_any_order_have_the_same_interval():
    counts = hits(30, 90)
    shuffled = np.random.default_rng(1).permutation(counts)
    assert interval(counts, share) == interval(counts, share) == interval(shuffled, share)


def test_edges():
    assert interval(hits(5, 5), share) == (100.0, 100.0)
    assert interval(hits(0, 5), share) == (0.0, 0.0)
    assert interval(hits(1, 1), share) == (100.0, 100.0)
    assert interval(np.zeros((4, 3)), lambda sums: f1_rates(*np.moveaxis(sums, -1, 0))["f1"]) == (0.0, 0.0)


def test_f1_agrees_with_resampling_sentence_by_sentence():
    rng = np.random.default_rng(0)
    gold, found = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    counts = np.stack([rng.integers(0, np.minimum(gold, found) + 1), found, gold], axis=1).astype(np.float64)

    def f1(sums):
        return f1_rates(*np.moveaxis(sums, -1, 0))["f1"]

    plain = [f1(counts[rng.integers(0, 300, 300)].sum(axis=0)) for _ in range(4000)]
    assert interval(counts, f1) == pytest.approx(np.percentile(plain, (2.5, 97.5)), abs=0.6)


def test_sentences_add_up_to_what_seqeval_says_of_all(task_of):
    from seqeval.metrics import f1_score, precision_score, recall_score

    labels = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    rng = np.random.default_rng(2)
    gold = [[labels[n] for n in rng.integers(0, 5, rng.integers(1, 15))] for _ in range(200)]
    found = [[tag if rng.random() < 0.6 else labels[rng.integers(0, 5)] for tag in tags] for tags in gold]
    rows = [TaggedRow(str(n), ("a",) * len(tags), tuple(tags)) for n, tags in enumerate(gold)]
    predictions = [{"id": str(n), "tags": tags} for n, tags in enumerate(found)]
    ours = tagging.KIND.score(predictions, rows, task_of("tagging", labels), "en")
    theirs = {"f1": f1_score, "precision": precision_score, "recall": recall_score}
    assert {name: ours[name] for name in theirs} == pytest.approx(
        {name: 100 * metric(gold, found) for name, metric in theirs.items()}, abs=1e-6
    )


def test_labels_add_up_to_what_scikit_learn_says_of_all(task_of):
    from sklearn.metrics import accuracy_score, f1_score

    labels = ("a", "b", "c", "never")
    rng = np.random.default_rng(3)
    gold, found = ([labels[n] for n in rng.integers(0, 3, 80)] for _ in range(2))
    rows = [PairRow(str(n), "", "", label) for n, label in enumerate(gold)]
    predictions = [{"id": str(n), "label": label} for n, label in enumerate(found)]
    ours = sequence.KIND.score(predictions, rows, task_of("sequence", labels), "en")
    assert ours["accuracy"] == pytest.approx(100 * accuracy_score(gold, found), abs=1e-6)
    assert ours["macro_f1"] == pytest.approx(100 * f1_score(gold, found, average="macro"), abs=1e-6)
