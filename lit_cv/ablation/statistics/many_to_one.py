"""Dunnett's critical value of a balanced design: several arms, each compared with one baseline."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr

from lit_cv.ablation.statistics.difference import CONFIDENCE

NODES = 64
HIGHEST = 9.0  # of a standard normal variable
LARGEST = 1e4  # critical value


@cache
def critical_value(comparisons: int, df: int) -> float:
    """Return the two-sided critical value c of k comparisons with a common baseline, at 95 %.

    P(max |T_j| ≤ c) = ∫ f(s) ∫ φ(z) [Φ(z + √2 c s) − Φ(z − √2 c s)]^k dz ds = 0.95 with s² distributed as χ² / df
    (Dunnett 1955, JASA 50, p. 1096, with correlations 1/2). With one comparison it is Student's quantile.

    Args:
        comparisons: Number of arms besides the baseline, at least 1.
        df: Degrees of freedom of the spread, at least 1.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    z, (spread, share) = HIGHEST * nodes, spreads(df)
    density = HIGHEST * weights * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    def excess(critical: float) -> float:
        reach = np.sqrt(2) * critical * spread[:, None]
        return float(share @ ((ndtr(z + reach) - ndtr(z - reach)) ** comparisons @ density)) - CONFIDENCE

    return float(brentq(excess, 0.0, LARGEST, xtol=1e-10))


@cache
def spreads(df: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values of √(χ² / df) and their weights, whose sum is 1: an integral over an estimated spread as a sum."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    angle = np.pi * (nodes + 1) / 4  # the sine puts many nodes into both tails
    share = np.pi / 4 * np.sin(2 * angle) * weights
    return np.sqrt(chdtri(df, np.sin(angle) ** 2) / df), share
