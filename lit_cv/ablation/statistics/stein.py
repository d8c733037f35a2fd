"""Stein's two-stage rule: as many seeds as an interval of a wanted width needs, while the interval stays valid.

The spread of the first stage, s with df degrees of freedom, fixes the number of seeds n and the critical value c:

    n = max(first seeds, ⌈2 (c s / D)²⌉),    interval: difference ± c s √(2 / n), at most ± D

The mean over all n seeds does not depend on s, which is made of residuals of the first stage, so its ratio to
s √(2 / n) has Student's t distribution with df degrees of freedom for every n that follows from s alone. An interval
from the spread of all n seeds would not have this coverage, because their number was chosen by their spread. (Stein
1945, A two-sample test for a linear hypothesis whose power is independent of the variance, Annals of Mathematical
Statistics 16, p. 243; c is the adjusted value
of ``comparisons``, and an arm of its own spread has the interval of its own differences.)
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lit_cv.ablation.statistics.blocked import Array, cells
from lit_cv.ablation.statistics.comparisons import Estimate, to_baseline
from lit_cv.ablation.statistics.difference import Scores
from lit_cv.ablation.statistics.pool import excess, pool_cells

OWN_LEVEL = 0.01  # an arm wrongly taken for one of its own spread would multiply the seeds of all arms


def first_stage(table: Array, baseline: int = 0) -> list[Estimate | None]:
    """Return the differences to the baseline of a first stage (arms, seeds), NaN in missing cells.

    An arm has its own spread if the F test of ``pool`` says so with p < 0.01.
    """
    pool = pool_cells(table)
    left = pool.fit.part < 0
    own = left | (excess(pool.whole, table) < OWN_LEVEL) if pool.whole.has_spread else np.zeros(len(table), bool)
    return to_baseline(replace(pool, own=own), baseline)


def widest(scores: Sequence[Scores], baseline: int = 0) -> float:
    """Return the half width of the widest interval to the baseline of a first stage; NaN without any."""
    return max((found.half for found in first_stage(cells(scores), baseline) if found), default=math.nan)


def seeds_needed(first: int, half_width: float, wanted: float) -> int:
    """Return the number of seeds for a wanted half width.

    Args:
        first: Number of seeds of the first stage.
        half_width: Half width of the widest interval after the first stage.
        wanted: Wanted half width, > 0.
    """
    return max(first, math.ceil(first * (half_width / wanted) ** 2 - 1e-9))


def narrowed(half_width: float, first: int, seeds: int) -> float:
    """Return the half width with all seeds of an interval that had ``half_width`` after the first stage."""
    return half_width * math.sqrt(first / seeds)


def of_first_stage(
    estimates: Sequence[Estimate | None], scores: Sequence[Scores], baseline: int, first: Collection[Any]
) -> list[Estimate | None]:
    """Return estimates over all seeds with the intervals that follow from the spread of the first stage.

    Args:
        estimates: Differences to the baseline over all seeds.
        scores: All scores.
        baseline: Place of the baseline.
        first: Seeds of the first stage.
    """
    begun = [{seed: value for seed, value in own.items() if seed in first} for own in scores]
    return [
        replace(
            old,
            mean=found.mean,
            half=narrowed(old.half, old.n, found.n),
            error=narrowed(old.error, old.n, found.n),
            n=found.n,
        )
        if found and old
        else None
        for found, old in zip(estimates, first_stage(cells(begun), baseline), strict=True)
    ]
