"""The numbers of the table: mean and spread over seeds, paired differences with intervals, the order of the arms.

Seeds are paired: the same seed gives every arm the same initial weights and the same stream of images, so differences
are taken seed by seed, which removes what the arms share. Intervals are 95 % Student-t intervals of the mean
difference, not corrected for the number of comparisons.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
Scores = Mapping[Any, float]  # seed -> value


@dataclass(frozen=True)
class Difference:
    """A mean difference over `n` paired seeds; `low` and `high` are NaN when one seed gives no interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def beyond(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Order:
    """How far our arms stand in the order of published ones.

    Attributes:
        pairs: pairs of arms whose published values differ.
        reproduced: pairs that stand in the published order here too.
        beyond: reproduced pairs whose paired difference has an interval that excludes zero.
        contradicted: pairs in the opposite order with such an interval.
    """

    pairs: int
    reproduced: int
    beyond: int
    contradicted: int


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n − 1 in the denominator); the latter is NaN for one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def interval(differences: Sequence[float]) -> Difference:
    """The mean of paired differences with its Student-t interval: mean ± t(0.975, n − 1) · s / √n."""
    mean, std = mean_std(differences)
    n = len(differences)
    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * std / math.sqrt(n) if n > 1 else math.nan
    return Difference(mean, mean - half, mean + half, n)


def paired_difference(scores: Scores, baseline: Scores) -> Difference | None:
    """`scores` − `baseline` over the seeds that both have; None if they share no seed."""
    shared = [seed for seed in scores if seed in baseline]
    return interval([scores[seed] - baseline[seed] for seed in shared]) if shared else None


def order(ours: Sequence[Scores], published: Sequence[float]) -> Order:
    """Compare the order of our arms with the published order, pair by pair.

    Args:
        ours: the scores of each arm.
        published: the published value of each arm, in any unit that grows with the metric.
    """
    pairs = reproduced = beyond = contradicted = 0
    for first, second in itertools.combinations(range(len(ours)), 2):
        difference = paired_difference(ours[second], ours[first])
        if published[first] == published[second] or difference is None:
            continue
        agrees = (published[second] - published[first]) * difference.mean > 0
        pairs += 1
        reproduced += agrees
        beyond += agrees and difference.beyond
        contradicted += not agrees and difference.beyond
    return Order(pairs, reproduced, beyond, contradicted)


def mean_effect(pairs: Sequence[tuple[Scores, Scores]]) -> Difference | None:
    """The effect of one level of a factor against another, averaged over the settings of the other factors.

    Args:
        pairs: (scores with the level, scores with the other level), equal in all other factors.

    Returns:
        The interval over the seeds that all arms share; None if there are none.
    """
    shared = [seed for seed in pairs[0][0] if all(seed in scores for pair in pairs for scores in pair)] if pairs else []
    return interval([float(np.mean([a[seed] - b[seed] for a, b in pairs])) for seed in shared]) if shared else None
