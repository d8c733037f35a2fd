"""The exact sign-flip test of paired differences, and Holm's adjustment of its p values."""

from collections.abc import Sequence

import numpy as np

from lit_cv.ablation.statistics.blocked import ROUNDING

MOST_EXACT = 20  # differences up to which all flips are enumerated
FLIPS = 100_000  # random flips above it
SMALLEST = 0.05


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p value of paired differences under flips of their signs.

    If the arm makes no difference, each difference is as likely as its negative (Fisher 1935, The Design of
    Experiments, section 21). The p value is the share of the 2ⁿ flips whose sum is at least as far from 0 as the sum
    found. For more than 20 differences it is estimated from 100,000 flips with a fixed seed and the flip found.

    Args:
        differences: n ≥ 1 differences.
    """
    values = np.asarray(differences, float)
    found = abs(values.sum()) - ROUNDING * np.abs(values).sum()  # equal sums may differ by rounding
    if len(values) <= MOST_EXACT:
        sums = values[:1]  # the first sign may stay: flipping all of them changes no distance from 0
        for value in values[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= found))
    signs = np.random.default_rng(0).integers(0, 2, (FLIPS, len(values)), dtype=np.int8) * 2 - 1
    return float((np.sum(np.abs(signs @ values) >= found) + 1) / (FLIPS + 1))


def smallest_p(differences: int, comparisons: int = 1) -> float:
    """Return the smallest p value that the test of n differences can reach, after Holm's adjustment."""
    return min(1.0, comparisons * 2.0 ** (1 - min(differences, MOST_EXACT)))


def holm(p: Sequence[float]) -> list[float]:
    """Return the p values adjusted for their number (Holm 1979, Scandinavian Journal of Statistics 6:65-70)."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted.tolist()
