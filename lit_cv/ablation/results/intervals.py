"""Mean and spread over seeds, and the agreement of arms with a published order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Order:
    """Agreement of our arms with the published order.

    Attributes:
        pairs: Pairs of arms with different published values.
        reproduced: Pairs in the published order whose difference has an interval that excludes zero.
        contradicted: Pairs in the opposite order with such an interval.
    """

    pairs: int
    reproduced: int
    contradicted: int


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and sample standard deviation (n − 1 in the denominator); NaN without a value, or with one."""
    return float(np.mean(values)) if values else math.nan, float(np.std(values, ddof=1)) if len(
        values
    ) > 1 else math.nan
