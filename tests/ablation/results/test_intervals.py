import math

import pytest

from lit_cv.ablation.results.evidence import order
from lit_cv.ablation.results.intervals import mean_std
from lit_cv.ablation.statistics.pool import make_pool


def test_mean_and_sample_standard_deviation():
    assert mean_std([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, math.sqrt(7 / 3)))
    mean, std = mean_std([0.5])
    assert mean == 0.5
    assert math.isnan(std)


def test_order_of_published_arms():
    # published a < b < c = d, so 5 pairs count; ours: b > a clearly, c > b within the noise, d < a clearly
    a, b, c, d = {1: 1.0, 2: 2.1}, {1: 3.0, 2: 4.0}, {1: 3.0, 2: 4.2}, {1: 0.0, 2: 0.9}
    found = order(make_pool([a, b, c, d, {}]), [0, 1, 2, 3], [10.0, 20.0, 30.0, 30.0])
    # ab and ac are reproduced beyond the interval; of bc nothing can be said; ad and bd are contradicted beyond it
    assert (found.pairs, found.reproduced, found.contradicted) == (5, 2, 2)
    assert order(make_pool([a, b]), [0], [1.0]).pairs == 0
