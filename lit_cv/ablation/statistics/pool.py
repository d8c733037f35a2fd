"""The pool: which arms share one spread, and which keep their own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from lit_cv.ablation.statistics.blocked import ROUNDING, Array, BlockedFit, cells, fit_cells
from lit_cv.ablation.statistics.difference import Scores

FEW_SEEDS = 5
OWN_LEVEL_OF_FEW, OWN_LEVEL = 0.2, 0.1  # with few seeds the test would overlook most arms at the usual level
LEAVE_LEVEL = 0.001


@dataclass(frozen=True)
class Pool:
    """The scores of a study with their common spread.

    Attributes:
        table: (A, S) scores, NaN in missing cells.
        whole: Blocked fit to all arms.
        fit: Blocked fit to the arms of the pool, which gives the common spread; the other arms have no score in it.
        own: (A,) whether an arm's spread clearly exceeds that of the others, so that its intervals are its own.
    """

    table: Array
    whole: BlockedFit
    fit: BlockedFit
    own: NDArray[np.bool_]


def make_pool(scores: Sequence[Scores]) -> Pool:
    """Fit the blocked model, and find the arms whose spread clearly exceeds that of the others.

    The rule: the residuals of an arm are compared with those of all others by the F test of Russell & Bradley (1958,
    Biometrika 45:111-129), which is exact for arms of equal spread. An arm with p < 0.1 (with fewer than five seeds,
    p < 0.2) has its own spread; with p < 0.001 it also leaves the pool, and the others are tested again. Two arms
    always have the same residuals, so they need no test. The levels are those with which simulated families of
    intervals keep their 95 % when one arm has four times the spread of the others (docs/report.md).
    """
    return pool_cells(cells(scores))


def pool_cells(table: Array) -> Pool:
    """Return the pool of a table (arms, seeds) with NaN in missing cells."""
    whole = fit_cells(table)
    level = OWN_LEVEL_OF_FEW if table.shape[1] < FEW_SEEDS else OWN_LEVEL
    fit, kept, own = whole, table, np.zeros(len(table), bool)
    while fit.has_spread:
        p = excess(fit, kept)
        own |= p < level
        worst = int(p.argmin())
        if p[worst] >= LEAVE_LEVEL:
            break
        kept = kept.copy()
        kept[worst] = math.nan
        fit = fit_cells(kept)
    return Pool(table, whole, fit, own)


def excess(fit: BlockedFit, table: Array) -> Array:
    """Return for each arm (A,) the p value of the F test that its spread exceeds that of all others.

    The sum of squares that an arm adds to that of the others is r' (I − H)⁺ r, with its residuals r and its part H of
    the hat matrix. The p value is 1 where an arm cannot be compared: with one seed, or without two other arms.
    """
    known = np.isfinite(table)
    shares = known / np.maximum(known.sum(0), 1)
    mixed = fit.inverse @ shares
    of_seeds = shares.T @ mixed
    total = fit.sigma**2 * fit.df
    noise = (ROUNDING * np.abs(table[known]).max(initial=0.0)) ** 2
    p = np.ones(len(table))
    for arm in range(len(table)):
        own = known[arm]
        if not own.any():
            continue
        hat = fit.inverse[arm, arm] - mixed[arm, own][:, None] - mixed[arm, own] + of_seeds[np.ix_(own, own)]
        left = np.eye(int(own.sum())) - np.diag(shares[arm, own]) - hat
        added, df = _squares(fit.residuals[arm, own], left)
        others, rest = max(0.0, total - added), fit.df - df
        if df > 0 and rest > 0:
            p[arm] = fdtrc(df, rest, added / df / (others / rest)) if others > rest * noise else 0.0
    return p


def _squares(residuals: Array, left: Array) -> tuple[float, int]:
    """Return r' L⁺ r for a symmetric matrix L, and the rank of L."""
    values, vectors = np.linalg.eigh(left)
    kept = values > 1e-9
    return float(((vectors.T @ residuals)[kept] ** 2 / values[kept]).sum()), int(kept.sum())
