"""Unit and direction of a metric, which every metric and every task states itself."""

from typing import NamedTuple


class Fact(NamedTuple):
    """Unit and direction of a number.

    Attributes:
        percent: Whether it is a fraction that is shown in percent.
        higher_is_better: Whether a higher value is better.
        trivial: Value that a predictor without any training can reach; None if it is not known.
    """

    percent: bool
    higher_is_better: bool
    trivial: float | None = None


SHARE = Fact(percent=True, higher_is_better=True)
PRECISION = Fact(percent=True, higher_is_better=True, trivial=0.01)  # AP of about one lucky hit for each class
ERROR = Fact(percent=True, higher_is_better=False)
SCORE = Fact(percent=False, higher_is_better=True)
LOSS = Fact(percent=False, higher_is_better=False)
