"""From what each example counts to shares, F1 and their confidence intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adapterstilts.kinds.base import Counts

RESAMPLES = 1000
SEED = 20200526  # any fixed number: the same counts have the same interval, always
LEVEL = 95  # percent


def percent(part: Counts, whole: Counts) -> Counts:
    """100 * part / whole, and 0 where there is nothing."""
    return 100 * np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def f1_rates(hits: Counts, found: Counts, gold: Counts) -> dict[str, Counts]:
    """F1, precision and recall in percent, of the numbers of right, of predicted and of gold items."""
    return {
        "f1": percent(2 * hits, found + gold),
        "precision": percent(hits, found),
        "recall": percent(hits, gold),
    }


def interval(counts: Counts, rate: Callable[[Counts], Counts]) -> tuple[float, float]:
    """The bounds of a 95 % confidence interval: percentile bootstrap over examples (Efron 1979).

    Examples that count alike are drawn together: how often each such group is drawn is multinomial, which is
    the same distribution as drawing examples one by one with replacement, and needs one matrix product.

    Args:
        counts: [examples, k].
        rate: sums [resamples, k] -> score of each [resamples].
    """
    groups, sizes = np.unique(counts, axis=0, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(len(counts), sizes / len(counts), size=RESAMPLES)
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(rate(drawn @ groups), (tail, 100 - tail))
    return round(float(low), 6), round(float(high), 6)
