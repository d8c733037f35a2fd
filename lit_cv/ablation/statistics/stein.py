"""Stein's two-stage rule: as many seeds as an interval of a wanted width needs, while the interval stays valid.

The spread of the first stage, s with df degrees of freedom, fixes the number of seeds n and the critical value c:

    n = max(first seeds, ⌈2 (c s / D)²⌉),    interval: difference ± c s √(2 / n), at most ± D

The mean over all n seeds does not depend on s, which is made of residuals of the first stage, so its ratio to
s √(2 / n) has Student's t distribution with df degrees of freedom for every n that follows from s alone. An interval
from the spread of all n seeds would not have this coverage, because their number was chosen by their spread. (Stein
1945, A two-sample test for a linear hypothesis whose power is independent of the variance, Annals of Mathematical
Statistics 16, p. 243; c is Dunnett's value, as in ``resolution``.)
"""

import math
from dataclasses import dataclass

from lit_cv.ablation.statistics.many_to_one import critical_value


@dataclass(frozen=True)
class FirstStage:
    """The first stage of a sweep.

    Attributes:
        arms: Number of arms with the baseline.
        seeds: Number of its paired seeds.
        sigma: Standard deviation of its residuals.
        df: Their degrees of freedom.
    """

    arms: int
    seeds: int
    sigma: float
    df: int

    def needed(self, half_width: float) -> int:
        """Return the number of seeds for intervals of ± ``half_width``, at least those of the first stage."""
        return seeds_needed(self.seeds, self.half_width(self.seeds), half_width)

    def half_width(self, seeds: int) -> float:
        """Return the half width of the intervals with some number of seeds."""
        return critical_value(self.arms - 1, self.df) * self.sigma * math.sqrt(2 / seeds)


def seeds_needed(first: int, half_width: float, wanted: float) -> int:
    """Return the number of seeds for a wanted half width.

    Args:
        first: Number of seeds of the first stage.
        half_width: Half width of the widest interval after the first stage.
        wanted: Wanted half width, > 0.
    """
    return max(first, math.ceil(first * (half_width / wanted) ** 2 - 1e-9))
