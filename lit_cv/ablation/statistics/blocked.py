"""The blocked analysis: score = arm + seed + residual, fitted by least squares to all scores of a study."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lit_cv.ablation.statistics.difference import Scores

ROUNDING = 1e-6  # residuals below this share of the largest score are rounding of float32, not spread
Array = NDArray[np.float64]


@dataclass(frozen=True)
class BlockedFit:
    """A fit of score = arm + seed + residual to A arms and S seeds; cells may be missing.

    Attributes:
        effects: (A,) effects of the arms, up to a constant for each part of the design.
        inverse: (A, A) generalized inverse of the arms' information matrix: the variance of the estimated difference
            of two arms is ``sigma² · (inverse[i, i] + inverse[j, j] − 2 · inverse[i, j])``.
        residuals: (A, S) residuals, NaN in missing cells.
        sigma: Standard deviation of the residuals, √(sum of squares / df); NaN without degrees of freedom, 0 if all
            residuals are rounding.
        df: Degrees of freedom: scores − rank of the design.
        part: (A,) part of the design that an arm belongs to; differences exist within a part only. −1: no score.
    """

    effects: Array
    inverse: Array
    residuals: Array
    sigma: float
    df: int
    part: NDArray[np.int64]

    @property
    def has_spread(self) -> bool:
        """Whether there are degrees of freedom and residuals beyond rounding."""
        return self.df > 0 and self.sigma > 0

    def contrast(self, weights: Array) -> tuple[float, float]:
        """Return a weighted sum of the effects, and its standard error for a spread of 1."""
        used = np.flatnonzero(weights)
        kept = weights[used]
        variance = float(kept @ self.inverse[np.ix_(used, used)] @ kept)
        return float(kept @ self.effects[used]), math.sqrt(max(0.0, variance))


def fit(scores: Sequence[Scores]) -> BlockedFit:
    """Fit the blocked model to the finite scores of arms, each a mapping from seed to value.

    The seeds are eliminated first (Scheffé 1959, The Analysis of Variance, section 5.2, "intrablock" equations).
    """
    return fit_cells(cells(scores))


def cells(scores: Sequence[Scores]) -> Array:
    """Return the scores as (arms, seeds), NaN where an arm lacks a seed."""
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(seed for own in scores for seed in own))}
    table = np.full((len(scores), len(seeds)), math.nan)
    for row, own in zip(table, scores, strict=True):
        row[[seeds[seed] for seed in own]] = list(own.values())
    return table


def fit_cells(table: Array) -> BlockedFit:
    """Fit the blocked model to a table (arms, seeds) with NaN in missing cells."""
    known = np.isfinite(table)
    centered = np.where(known, table, 0.0) - _mean(table, known)
    present, count = known.astype(float), known.sum()
    of_arm, of_seed = present.sum(1), np.maximum(present.sum(0), 1)
    part = _parts(known)
    if known.all():
        inverse = (np.eye(len(table)) - 1 / max(1, len(table))) / max(1, table.shape[1])
    else:
        inverse = np.linalg.pinv(np.diag(of_arm) - present / of_seed @ present.T, hermitian=True)
    centered = np.where(known, centered, 0.0)
    effects = inverse @ (centered - present * (centered.sum(0) / of_seed)).sum(1)
    rest = np.where(known, centered - effects[:, None], 0.0)
    residuals = np.where(known, rest - rest.sum(0) / of_seed, math.nan)
    arms, seeds = int((of_arm > 0).sum()), int(known.any(0).sum())
    df = int(count) - (arms + seeds - len(set(part[part >= 0])))
    sigma = math.sqrt(float(np.nansum(residuals**2)) / df) if df > 0 else math.nan
    largest = float(np.abs(table[known]).max(initial=0.0))
    return BlockedFit(effects, inverse, residuals, 0.0 if sigma <= ROUNDING * largest else sigma, df, part)


def _mean(table: Array, known: NDArray[np.bool_]) -> float:
    return float(table[known].mean()) if known.any() else 0.0


def _parts(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the connected part of each arm: arms with a common seed belong together."""
    part = np.full(len(known), -1)
    for start in range(len(known)):
        if part[start] >= 0 or not known[start].any():
            continue
        members = np.zeros(len(known), bool)
        grown = np.arange(len(known)) == start
        while (grown != members).any():
            members = grown
            grown = members | known[:, known[members].any(0)].any(1)
        part[members] = start
    return part
