"""The results of the statistics: a difference with its interval, a probability with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95
BETTER, WORSE, NO_CLAIM = "better", "worse", "no claim"
Scores = Mapping[Any, float]  # maps a seed to a finite value


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval.

    Attributes:
        mean: The difference, in the unit of the scores.
        low: Lower end of the interval; NaN without an interval.
        high: Upper end; NaN without an interval.
        n: Number of seeds that both sides have.
        own_variance: Whether the interval is from these differences alone, since the spread of one side clearly
            exceeds that of the other arms.
    """

    mean: float
    low: float
    high: float
    n: int
    own_variance: bool = False

    @property
    def beyond(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def claim(self, *, maximize: bool) -> str:
        """Return ``better`` or ``worse`` if the interval excludes zero, or else ``no claim``."""
        return NO_CLAIM if not self.beyond else BETTER if (self.low > 0) == maximize else WORSE


@dataclass(frozen=True)
class Probability:
    """A probability in [0, 1] with its interval."""

    value: float
    low: float
    high: float
