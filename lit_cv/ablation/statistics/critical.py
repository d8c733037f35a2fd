"""Critical values of simultaneous intervals, computed without chance where the design allows it."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaincc, ndtr, stdtrit
from scipy.stats import chi2, studentized_range

from lit_cv.ablation.statistics.difference import CONFIDENCE

Array = NDArray[np.float64]
MOST_CORRELATED = 30  # comparisons above which correlations without a product structure are bounded by independence
SAMPLES = 2**16
NODES, SPREADS = 64, 384  # of the quadratures over the control and over the spread
TAIL = 1e-14  # probability left out at each end of the spread's distribution
LARGEST = 1e5  # above every critical value of 95 %


def student(df: int, comparisons: int = 1) -> float:
    """Return the critical value of Student's t, Bonferroni-adjusted: t(1 − 0.025 / comparisons, df)."""
    return float(stdtrit(df, 1 - (1 - CONFIDENCE) / 2 / comparisons))


def dunnett(correlation: Array, df: int) -> float:
    """Return c with P(max |T_i| ≤ c) = 95 % for the multivariate t distribution of k comparisons.

    Dunnett (1955, JASA 50:1096-1121) compares k treatments with a control; in complete blocks all correlations are 0.5.
    Correlations of the form λ_i λ_j reduce the probability to a double integral (his equation 3, for two-sided
    intervals), which is computed by quadrature to about 1e-8. Others are averaged over 2¹⁶ normal vectors with a fixed
    seed, to about 0.01, and for more than 30 comparisons bounded by independence (Šidák 1967, JASA 62:626-633), which
    is never too small.

    Args:
        correlation: (k, k) correlations of the comparisons.
        df: Degrees of freedom of the spread.
    """
    if len(correlation) == 1:
        return student(df)
    loadings = _loadings(correlation)
    if loadings is None and len(correlation) <= MOST_CORRELATED:
        return _averaged(correlation, df)
    values, counts = np.unique(np.zeros(len(correlation)) if loadings is None else loadings, return_counts=True)
    return _product(tuple(values.tolist()), tuple(counts.tolist()), df)


@cache
def tukey(arms: int, df: int) -> float:
    """Return the critical value of all pairs of ``arms``: the studentized range's 95 % quantile / √2."""
    return student(df) if arms == 2 else float(studentized_range.ppf(CONFIDENCE, arms, df)) / math.sqrt(2)


def _loadings(correlation: Array) -> Array | None:
    """Return λ with correlation[i, j] = λ_i λ_j for all i ≠ j, rounded to 1e-9; None if there is none."""
    k = len(correlation)
    off = ~np.eye(k, dtype=bool)
    if not np.abs(correlation[off]).min() > 0:
        return None if correlation[off].any() else np.zeros(k)
    found = np.empty(k)
    for i in range(k):
        j, h = [other for other in (0, 1, 2) if other != i][:2] if k > 2 else (1 - i, i)
        square = correlation[i, j] * correlation[i, h] / correlation[j, h] if k > 2 else correlation[0, 1]
        if not 0 <= square < 1 - 1e-6:
            return None
        found[i] = math.sqrt(square)
    return found.round(9) if np.allclose(np.outer(found, found)[off], correlation[off], atol=1e-7) else None


@cache
def _product(loadings: tuple[float, ...], counts: tuple[int, ...], df: int) -> float:
    """Return the critical value for correlations λ_i λ_j; equal λ are counted."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    spread, density = spreads(df)
    spread = spread[:, None]

    def covered(critical: float) -> float:
        inside = np.ones((len(spread), NODES))
        for loading, count in zip(loadings, counts, strict=True):
            rest = math.sqrt(1 - loading**2)
            upper, lower = (ndtr((sign * critical * spread + loading * nodes) / rest) for sign in (1, -1))
            inside *= (upper - lower) ** count
        return float(density @ (inside @ weights))

    return _root(covered)


@cache
def spreads(df: int) -> tuple[Array, Array]:
    """Return nodes s and weights for means over an estimated spread: √(χ² / df) for a true spread of 1.

    Its logarithm has a smooth density on a short range, also with one degree of freedom.
    """
    low, high = (0.5 * math.log(bound / df) for bound in (chi2.ppf(TAIL, df), chi2.isf(TAIL, df)))
    at, width = _legendre()
    spread = np.exp(low + (high - low) / 2 * (at + 1))
    return spread, width * (high - low) / 2 * chi2.pdf(df * spread**2, df) * 2 * df * spread**2


@cache
def _legendre() -> tuple[Array, Array]:
    at, width = np.polynomial.legendre.leggauss(SPREADS)
    return at, width


def _averaged(correlation: Array, df: int) -> float:
    values, vectors = np.linalg.eigh(correlation)
    normal = np.random.default_rng(0).standard_normal((SAMPLES, len(correlation)))
    largest = np.abs(normal @ (vectors * np.sqrt(np.maximum(values, 0))).T).max(1)
    # max |Z| ≤ c · spread, with df · spread² distributed as χ²
    bound = _product((0.0,), (len(correlation),), df)
    return _root(
        lambda c: float(gammaincc(df / 2, df / 2 * (largest / c) ** 2).mean()), 0.95 * student(df), 1.05 * bound, 1e-5
    )


def _root(covered: Callable[[float], float], low: float = 1.0, high: float = LARGEST, tolerance: float = 1e-9) -> float:
    return float(brentq(lambda critical: covered(critical) - CONFIDENCE, low, high, xtol=tolerance))
