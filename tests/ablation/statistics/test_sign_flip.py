import itertools

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from lit_cv.ablation.statistics.sign_flip import holm, sign_flip, smallest_p


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_sign_flips_equal_their_enumeration(count):
    for values in (np.random.default_rng(count).normal(0.5, 1, count), np.arange(count) * 0.1 - 0.1, np.ones(count)):
        sums = [abs(np.dot(signs, values)) for signs in itertools.product((1, -1), repeat=count)]
        expected = np.mean([total >= abs(values.sum()) - 1e-9 for total in sums])
        assert sign_flip(values.tolist()) == pytest.approx(expected)


def test_many_differences_are_flipped_at_random_but_equally_in_every_call():
    values = np.random.default_rng(0).normal(0.4, 1, 21)
    assert sign_flip(values.tolist()) == sign_flip(values.tolist())
    assert sign_flip(values.tolist()) == pytest.approx(sign_flip(values[:20].tolist()), abs=0.1)
    assert sign_flip([1.0] * 30) == pytest.approx(1e-5, rel=0.01)


def test_the_smallest_p_is_that_of_equal_differences():
    assert [smallest_p(count) for count in (1, 2, 3, 6)] == [sign_flip([0.1] * count) for count in (1, 2, 3, 6)]
    assert smallest_p(3, 5) == 1
    assert smallest_p(8, 5) == holm([sign_flip([1.0] * 8)] * 5)[0]


def test_holm_equals_statsmodels():
    for p in ([0.01, 0.04, 0.03, 0.005], [0.5], [0.9, 0.8, 0.02], [0.02] * 4):
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]) == []
