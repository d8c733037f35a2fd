import math

import pytest

from lit_cv.ablation.results.intervals import interval, mean_effect, mean_std, order, paired_difference


def test_mean_and_sample_standard_deviation():
    assert mean_std([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, math.sqrt(7 / 3)))
    mean, std = mean_std([0.5])
    assert mean == 0.5
    assert math.isnan(std)


def test_student_interval_by_hand():
    # differences 1, 2, 3: mean 2, s = 1, n = 3; t(0.975, 2) = 4.302653 (any table of Student's t)
    found = interval([1.0, 2.0, 3.0])
    half = 4.302652729911275 / math.sqrt(3)
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((2, 2 - half, 2 + half, 3))
    assert not found.beyond
    # two seeds: t(0.975, 1) = 12.706205; differences 1.0 and 1.1: s = 0.0707107, half = 12.706205 * 0.05
    two = interval([1.0, 1.1])
    assert (two.low, two.high) == pytest.approx((1.05 - 0.63531, 1.05 + 0.63531), abs=1e-5)
    assert two.beyond


def test_differences_are_paired_by_seed_and_not_by_position():
    # unpaired, the spread of the seeds (10, 20, 30) would hide the constant difference of 1
    found = paired_difference({3: 31.0, 1: 11.0, 2: 21.0, 9: 0.0}, {1: 10.0, 2: 20.0, 3: 30.0})
    assert found is not None
    assert (found.mean, found.low, found.high, found.n) == (1.0, 1.0, 1.0, 3)
    assert paired_difference({1: 1.0}, {2: 1.0}) is None


def test_one_seed_has_no_interval_and_is_never_beyond_it():
    found = interval([5.0])
    assert math.isnan(found.low)
    assert not found.beyond


def test_order_of_published_arms():
    # published a < b < c = d, so 5 pairs count; ours: b > a clearly, c > b within the noise, d < a clearly
    a, b, c, d = {1: 1.0, 2: 2.0}, {1: 3.0, 2: 4.01}, {1: 3.0, 2: 9.0}, {1: 0.0, 2: 1.01}
    found = order([a, b, c, d], [10.0, 20.0, 30.0, 30.0])
    # ab is reproduced beyond the interval; of ac and bc nothing can be said; ad and bd are contradicted beyond it
    assert (found.pairs, found.reproduced, found.contradicted) == (5, 1, 2)


def test_effect_of_a_level_averages_over_the_other_factors():
    pairs = [({1: 2.0, 2: 3.0}, {1: 1.0, 2: 1.0}), ({1: 5.0, 2: 6.0}, {1: 2.0, 2: 2.0})]
    found = mean_effect(pairs)  # seed 1: (1 + 3) / 2 = 2; seed 2: (2 + 4) / 2 = 3
    assert found is not None
    assert (found.mean, found.n) == (2.5, 2)
    assert mean_effect([]) is None
