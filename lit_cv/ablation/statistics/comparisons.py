"""Simultaneous intervals of contrasts between arms: to the baseline, of all pairs, of effects."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lit_cv.ablation.statistics.blocked import Array
from lit_cv.ablation.statistics.critical import dunnett, student, tukey
from lit_cv.ablation.statistics.difference import Difference
from lit_cv.ablation.statistics.pool import Pool


@dataclass(frozen=True)
class Estimate:
    """A contrast of arms with what its interval was made of.

    Attributes:
        mean: The contrast.
        half: Half of the interval; NaN without one.
        error: Standard error of the contrast; NaN without one.
        single: Standard deviation of the contrast on one new seed; NaN without one.
        df: Degrees of freedom of the standard error.
        n: Number of seeds that all arms of the contrast have.
        own: Whether the standard error is from the contrast's own values seed by seed, and not from the pool.
    """

    mean: float
    half: float
    error: float
    single: float
    df: int
    n: int
    own: bool

    @property
    def difference(self) -> Difference:
        """The contrast and its interval."""
        return Difference(self.mean, self.mean - self.half, self.mean + self.half, self.n, self.own)


def to_baseline(pool: Pool, baseline: int) -> list[Estimate | None]:
    """Return arm − baseline with Dunnett-adjusted intervals; None for the baseline and without a shared seed."""
    weights = np.eye(len(pool.table))
    weights[:, baseline] -= 1
    weights[baseline] = 0
    return contrasts(pool, weights)


def all_pairs(pool: Pool, arms: Sequence[int]) -> dict[tuple[int, int], Estimate]:
    """Return second − first for all pairs of some arms with a shared seed, with Tukey-Kramer intervals.

    Tukey (1953) and Kramer (1956, Biometrics 12:307-310); own intervals are Bonferroni-adjusted for all pairs.
    """
    pairs = list(itertools.combinations(arms, 2))
    weights = np.zeros((len(pairs), len(pool.table)))
    for row, (first, second) in zip(weights, pairs, strict=True):
        row[[first, second]] = -1, 1
    found = contrasts(pool, weights, range_of=len(arms)) if pairs else []
    return {pair: estimate for pair, estimate in zip(pairs, found, strict=True) if estimate is not None}


def contrasts(pool: Pool, weights: Array, *, range_of: int | None = None) -> list[Estimate | None]:
    """Return contrasts with 95 % intervals that hold together.

    The interval is contrast ± c · σ · √(w' C⁺ w) with the pooled σ of the blocked fit. A contrast with an arm of its
    own spread has Student's t interval of its values seed by seed, Bonferroni-adjusted for all contrasts, but never a
    narrower one than with the pooled σ.

    Args:
        pool: The scores and their common spread.
        weights: (K, A) weights of the arms, with sum 0; a row of zeros is no contrast.
        range_of: Number of arms whose pairs are compared; by default, c is Dunnett's for the correlations of the K
            contrasts.

    Returns:
        K estimates; None for a row of zeros, and for arms without a shared seed.
    """
    used = weights != 0
    known = np.isfinite(pool.table)
    shared = [known[row].all(0) & row.any() for row in used]
    valid = [place for place, seeds in enumerate(shared) if seeds.any()]
    found: list[Estimate | None] = [None] * len(weights)
    if not valid:
        return found
    critical = math.nan
    if pool.fit.has_spread:
        kept = weights[valid]
        critical = tukey(range_of, pool.fit.df) if range_of else dunnett(_correlation(pool, kept), pool.fit.df)
    for place in valid:
        own = bool(pool.own[used[place]].any())
        make = _of_its_own if own else _of_the_pool
        found[place] = make(pool, weights[place], shared[place], critical, len(valid))
    return found


def _correlation(pool: Pool, weights: Array) -> Array:
    covariance = weights @ pool.whole.inverse @ weights.T
    scale = np.sqrt(np.diag(covariance))
    correlation: Array = covariance / np.outer(scale, scale)
    return correlation


def _of_the_pool(pool: Pool, row: Array, shared: Array, critical: float, _: int) -> Estimate:
    mean, unit = pool.fit.contrast(row)
    sigma = pool.fit.sigma if pool.fit.has_spread else math.nan
    error, single = sigma * unit, sigma * math.sqrt(float(row @ row))
    return Estimate(mean, critical * error, error, single, pool.fit.df, int(shared.sum()), own=False)


def _of_its_own(pool: Pool, row: Array, shared: Array, critical: float, comparisons: int) -> Estimate:
    values = row[row != 0] @ pool.table[np.ix_(row != 0, shared)]
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, 0, n, own=True)
    single = float(values.std(ddof=1))
    error = single / math.sqrt(n)
    pooled = critical * pool.fit.sigma * math.sqrt(float(row @ row) / n) if pool.fit.has_spread else 0.0
    return Estimate(mean, max(pooled, student(n - 1, comparisons) * error), error, single, n - 1, n, own=True)
