"""Unit and direction of a metric, which every metric and every task states itself."""

from typing import NamedTuple


class Fact(NamedTuple):
    """Unit and direction of a number.

    Attributes:
        percent: Whether it is a fraction that is shown in percent.
        higher_is_better: Whether a higher value is better.
    """

    percent: bool
    higher_is_better: bool


SHARE = Fact(percent=True, higher_is_better=True)
ERROR = Fact(percent=True, higher_is_better=False)
SCORE = Fact(percent=False, higher_is_better=True)
LOSS = Fact(percent=False, higher_is_better=False)
