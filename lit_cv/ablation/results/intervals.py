"""Statistics of the table: mean and spread over seeds, paired differences with intervals, order of the arms.

Seeds are paired: the same seed gives every arm the same initial weights and the same stream of images. Differences are
therefore computed per seed, which removes the shared variation. Intervals are 95 % Student-t intervals of the mean
difference, not corrected for the number of comparisons.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from lit_cv.ablation.statistics.difference import CONFIDENCE, Difference, Scores


@dataclass(frozen=True)
class Order:
    """Agreement of our arms with the published order.

    Attributes:
        pairs: Pairs of arms with different published values.
        reproduced: Pairs in the published order whose paired difference has an interval that excludes zero.
        contradicted: Pairs in the opposite order with such an interval.
    """

    pairs: int
    reproduced: int
    contradicted: int


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and sample standard deviation (n − 1 in the denominator); NaN without a value, or with one."""
    return float(np.mean(values)) if values else math.nan, float(np.std(values, ddof=1)) if len(
        values
    ) > 1 else math.nan


def interval(differences: Sequence[float]) -> Difference:
    """Return the mean of paired differences with its Student-t interval: mean ± t(0.975, n − 1) · s / √n."""
    mean, std = mean_std(differences)
    n = len(differences)
    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * std / math.sqrt(n) if n > 1 else math.nan
    return Difference(mean, mean - half, mean + half, n)


def paired_difference(scores: Scores, baseline: Scores) -> Difference | None:
    """Return ``scores`` − ``baseline`` over their shared seeds; None without a shared seed."""
    shared = [seed for seed in scores if seed in baseline]
    return interval([scores[seed] - baseline[seed] for seed in shared]) if shared else None


def order(ours: Sequence[Scores], published: Sequence[float]) -> Order:
    """Compare the order of our arms with the published order, pair by pair.

    Args:
        ours: Scores of each arm.
        published: Published value of each arm, in any unit that increases with the metric.
    """
    pairs = reproduced = contradicted = 0
    for first, second in itertools.combinations(range(len(ours)), 2):
        difference = paired_difference(ours[second], ours[first])
        if published[first] == published[second] or difference is None:
            continue
        agrees = (published[second] - published[first]) * difference.mean > 0
        pairs += 1
        reproduced += agrees and difference.beyond
        contradicted += not agrees and difference.beyond
    return Order(pairs, reproduced, contradicted)


def mean_effect(pairs: Sequence[tuple[Scores, Scores]]) -> Difference | None:
    """Return the effect of a level of a factor relative to another level, averaged over the other factors.

    Args:
        pairs: (scores with the level, scores with the other level), equal in all other factors.

    Returns:
        The interval over the seeds shared by all arms; None without shared seeds.
    """
    shared = [seed for seed in pairs[0][0] if all(seed in scores for pair in pairs for scores in pair)] if pairs else []
    return interval([float(np.mean([a[seed] - b[seed] for a, b in pairs])) for seed in shared]) if shared else None
