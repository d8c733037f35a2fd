"""The power of a design of arms and seeds: the smallest difference that it shows, and the seeds that one needs.

A design of A arms and n paired seeds compares A − 1 arms with the baseline. Its residual spread σ has
df = (A − 1)(n − 1) degrees of freedom, and the difference of an arm has the standard error σ √(2 / n). It is claimed if
|difference| / error exceeds Dunnett's two-sided critical value c(A − 1, df) at 95 % (Dunnett 1955, JASA 50, p. 1096).
For a true difference δ this ratio has a noncentral t distribution with the noncentrality δ / (σ √(2 / n)), so that

    power = 1 − F(c; df, δ / error) + F(−c; df, δ / error)

(Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, chapter 2, for one comparison). The power is that
of one named arm, not that of all arms together.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from lit_cv.ablation.statistics.critical import dunnett, spreads

POWER = 0.8
MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Design:
    """A design and its spread.

    Attributes:
        arms: Number of arms with the baseline, at least 2.
        seeds: Number of paired seeds of every arm, at least 2.
        sigma: Standard deviation of the residuals of the blocked fit, > 0.
    """

    arms: int
    seeds: int
    sigma: float

    @property
    def df(self) -> int:
        """Degrees of freedom of the spread."""
        return (self.arms - 1) * (self.seeds - 1)

    @property
    def error(self) -> float:
        """Standard error of the difference of an arm to the baseline."""
        return self.sigma * math.sqrt(2 / self.seeds)

    @property
    def critical(self) -> float:
        """Dunnett's critical value of its differences, whose correlations are 1/2."""
        return dunnett((np.eye(self.arms - 1) + 1) / 2, self.df)

    def power(self, difference: float) -> float:
        """Return the probability that a true difference of an arm is claimed, from the noncentral t distribution."""
        return _power(self.critical, self.df, abs(difference) / self.error)

    @property
    def smallest(self) -> float:
        """The smallest difference that is claimed with a probability of 80 %."""
        critical, df = self.critical, self.df
        return self.error * float(brentq(lambda shift: _power(critical, df, shift) - POWER, 0.0, 3 * critical + 9))

    def needed(self, difference: float) -> int | None:
        """Return the number of seeds with which a difference > 0 is claimed with 80 %, if the spread stays the same.

        None if it exceeds 100,000.
        """

        def enough(seeds: int) -> bool:
            return Design(self.arms, seeds, self.sigma).power(difference) >= POWER

        low, high = 1, 2
        while not enough(high):
            low, high = high, 2 * high
            if high > MOST_SEEDS:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high


def _power(critical: float, df: int, shift: float) -> float:
    """Return the probability that |t| exceeds a critical value: the mean over the estimated spread."""
    spread, share = spreads(df)
    return float(share @ (ndtr(shift - critical * spread) + ndtr(-shift - critical * spread)))
