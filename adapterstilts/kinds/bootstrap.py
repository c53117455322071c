"""From the counts of examples to shares, F1 and their confidence intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adapterstilts.kinds.base import Counts

RESAMPLES = 1000
SEED = 20200526  # any fixed number: the same counts always have the same interval
LEVEL = 95  # percent


def percent(part: Counts, total: Counts) -> Counts:
    """Returns 100 * part / total, and 0 where the total is 0."""
    return 100 * np.divide(part, total, out=np.zeros(np.shape(total)), where=total > 0)


def f1_rates(hits: Counts, predicted: Counts, gold: Counts) -> dict[str, Counts]:
    """Returns F1, precision and recall in percent from the numbers of right, predicted and gold items."""
    return {
        "f1": percent(2 * hits, predicted + gold),
        "precision": percent(hits, predicted),
        "recall": percent(hits, gold),
    }


def interval(counts: Counts, rate: Callable[[Counts], Counts]) -> tuple[float, float]:
    """Returns the bounds of a 95 % confidence interval: percentile bootstrap over examples (Efron 1979).

    Args:
        counts: Contributions of the examples [examples, k].
        rate: Function from sums [resamples, k] to scores [resamples].
    """
    # Examples with equal counts are resampled as a group. How often a group is drawn is multinomial, which is
    # the same distribution as drawing examples one by one with replacement, and needs one matrix product.
    groups, sizes = np.unique(counts, axis=0, return_counts=True)
    draws = np.random.default_rng(SEED).multinomial(len(counts), sizes / len(counts), size=RESAMPLES)
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(rate(draws @ groups), (tail, 100 - tail))
    return round(float(low), 6), round(float(high), 6)
