"""The blocked analysis and its intervals against other programs, tables and sums by hand."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from lit_cv.ablation.statistics.blocked import cells, fit
from lit_cv.ablation.statistics.comparisons import all_pairs, contrasts, to_baseline
from lit_cv.ablation.statistics.critical import dunnett, tukey
from lit_cv.ablation.statistics.effects import interaction, main_effect
from lit_cv.ablation.statistics.pool import excess, make_pool
from lit_cv.ablation.statistics.superiority import superiority


def correlated(count, value=0.5):
    return value + (1 - value) * np.eye(count)


def scores_of(table):
    """Return one mapping from seed to score for each row; NaN cells are missing."""
    return [{seed: value for seed, value in enumerate(row) if not math.isnan(value)} for row in np.asarray(table)]


def ordinary(table):
    """Fit arm + seed by statsmodels; return the model, and for each arm its contrast to the first arm."""
    table = np.asarray(table)
    arms, seeds = np.nonzero(np.isfinite(table))
    design = np.concatenate([np.eye(len(table))[arms], np.eye(table.shape[1])[seeds][:, 1:]], 1)
    model = sm.OLS(table[arms, seeds], design).fit()
    return model, [np.eye(design.shape[1])[arm] - np.eye(design.shape[1])[0] for arm in range(1, len(table))]


def test_a_blocked_example_by_hand():
    # rows: arms, columns: seeds. Means of the arms 2, 4, 6; of the seeds 3, 4, 5; the fit is 1 2 3 / 3 4 5 / 5 6 7 and
    # the residuals 1 −1 0 / −1 1 0 / 0 0 0: a sum of squares of 4 with (3 − 1)(3 − 1) = 4 degrees of freedom, σ² = 1.
    table = np.array([[2.0, 1, 3], [2, 5, 5], [5, 6, 7]]) + 0.0
    found = fit(scores_of(table))
    assert (found.df, found.sigma**2) == (4, pytest.approx(1.0))
    delta, unit = found.contrast(np.array([-1.0, 0, 1]))
    assert (delta, unit) == pytest.approx((4.0, math.sqrt(2 / 3)))
    # Dunnett, two comparisons, 4 degrees of freedom: 3.31 (Dunnett 1964, Biometrics 20:482-491, table II)
    estimate = to_baseline(make_pool(scores_of(table)), 0)[2]
    assert estimate.difference.high == pytest.approx(4 + 3.31 * math.sqrt(2 / 3), abs=0.005)
    assert estimate.difference.n == 3
    assert not estimate.difference.own_variance


@pytest.mark.parametrize("missing", [[], [(0, 2)], [(1, 0), (2, 3), (3, 1)], [(0, 0), (0, 1), (1, 2), (2, 2)]])
def test_fits_of_complete_and_incomplete_designs_equal_statsmodels(missing):
    table = np.random.default_rng(1).normal(size=(4, 5)) + np.arange(4)[:, None]
    for cell in missing:
        table[cell] = math.nan
    model, arms = ordinary(table)
    found = fit(scores_of(table))
    assert found.df == model.df_resid
    assert found.sigma**2 == pytest.approx(model.mse_resid)
    for arm, vector in enumerate(arms, 1):
        weights = np.eye(4)[arm] - np.eye(4)[0]
        test = model.t_test(vector)
        delta, unit = found.contrast(weights)
        assert (delta, found.sigma * unit) == pytest.approx((test.effect.item(), test.sd.item()))


def test_parts_without_a_common_seed_are_not_compared():
    found = fit([{1: 1.0, 2: 2.0}, {1: 3.0, 2: 4.5}, {7: 1.0, 8: 2.0}, {}])
    assert found.part.tolist() == [0, 0, 2, -1]
    assert found.df == 6 - (3 + 4 - 2)
    estimates = to_baseline(make_pool([{1: 1.0, 2: 2.0}, {1: 3.0, 2: 4.5}, {7: 1.0, 8: 2.0}, {}]), 0)
    assert [estimate is None for estimate in estimates] == [True, False, True, True]


@pytest.mark.parametrize(
    ("comparisons", "df", "published"),  # Dunnett 1964, Biometrics 20:482-491, table II, two-sided, 5 %
    [
        (1, 5, 2.57),
        (2, 5, 3.03),
        (9, 5, 3.97),
        (2, 10, 2.57),
        (5, 10, 2.99),
        (9, 10, 3.24),
        (4, 20, 2.65),
        (3, 60, 2.41),
    ],
)
def test_critical_values_are_those_of_dunnett_s_table(comparisons, df, published):
    assert dunnett(correlated(comparisons), df) == pytest.approx(published, abs=0.0051)


def test_dunnett_and_tukey_equal_scipy_on_one_way_data():
    draw = np.random.default_rng(3)
    groups = [draw.normal(mean, 1, 6) for mean in (0, 0.5, 1, 2)]
    df, sigma = 20, math.sqrt(np.mean([np.var(group, ddof=1) for group in groups]))
    bounds = stats.dunnett(*groups[1:], control=groups[0]).confidence_interval(0.95)
    half = dunnett(correlated(3), df) * sigma * math.sqrt(2 / 6)
    assert half == pytest.approx((bounds.high - bounds.low) / 2, abs=5e-3)
    bounds = stats.tukey_hsd(*groups).confidence_interval(0.95)
    assert tukey(4, df) * sigma * math.sqrt(2 / 6) == pytest.approx((bounds.high - bounds.low)[0, 1] / 2, abs=1e-6)


def test_unequal_correlations_equal_the_multivariate_t_distribution():
    shares = np.sqrt([0.3, 0.5, 0.7])
    product = np.outer(shares, shares) + np.diag(1 - shares**2)
    mixed = np.kron(correlated(2), correlated(2))
    for correlation in (product, mixed):
        edge = np.full(len(correlation), dunnett(correlation, 8))
        covered = stats.multivariate_t.cdf(edge, shape=correlation, df=8, lower_limit=-edge, random_state=0)
        assert covered == pytest.approx(0.95, abs=1e-3)
    assert dunnett(correlated(40, 0.1), 8) <= dunnett(np.eye(40), 8)


def test_all_pairs_have_tukey_s_intervals():
    table = np.random.default_rng(6).normal(size=(4, 6))
    pool = make_pool(scores_of(table))
    pool.own[:] = False
    model, _ = ordinary(table)
    half = stats.studentized_range.ppf(0.95, 4, 15) / math.sqrt(2) * math.sqrt(model.mse_resid * 2 / 6)
    found = all_pairs(pool, range(4))
    assert len(found) == 6
    for (first, second), estimate in found.items():
        assert estimate.mean == pytest.approx(table[second].mean() - table[first].mean())
        assert estimate.half == pytest.approx(half)


def test_an_arm_of_another_spread_leaves_the_pool_and_has_its_own_interval():
    table = np.random.default_rng(7).normal(size=(5, 8))
    table[3] *= 30
    pool = make_pool(scores_of(table))
    assert pool.own.tolist() == [False, False, False, True, False]
    rest, _ = ordinary(table[[0, 1, 2, 4]])
    assert pool.fit.sigma**2 == pytest.approx(rest.mse_resid)
    estimate = to_baseline(pool, 0)[3].difference
    differences = table[3] - table[0]
    half = stats.t.ppf(1 - 0.025 / 4, 7) * differences.std(ddof=1) / math.sqrt(8)
    assert estimate.own_variance
    assert (estimate.low, estimate.high) == pytest.approx((differences.mean() - half, differences.mean() + half))


def test_the_test_of_spread_is_the_f_test_of_two_nested_fits():
    table = np.random.default_rng(9).normal(size=(4, 6))
    table[1, 2] = table[3, 5] = math.nan
    whole, _ = ordinary(table)
    p = excess(fit(scores_of(table)), cells(scores_of(table)))
    for arm in range(4):
        rest, _ = ordinary(np.delete(table, arm, 0))
        df = whole.df_resid - rest.df_resid
        ratio = (whole.ssr - rest.ssr) / df / (rest.ssr / rest.df_resid)
        assert p[arm] == pytest.approx(stats.f.sf(ratio, df, rest.df_resid))


def test_effects_are_contrasts_of_the_model_with_interaction():
    levels = [(a, b) for a in range(2) for b in range(3)]
    table = np.random.default_rng(11).normal(size=(6, 4))
    means = table.mean(1).reshape(2, 3)
    pool = make_pool(scores_of(table))
    pool.own[:] = False
    found = contrasts(pool, np.stack([main_effect(levels, 1, level, 0) for level in (1, 2)]))
    assert [estimate.mean for estimate in found] == pytest.approx((means[:, 1:] - means[:, :1]).mean(0).tolist())
    error = pool.fit.sigma * math.sqrt(2 / 2 / 4)  # each level's mean is over two arms and four seeds
    assert [estimate.half for estimate in found] == pytest.approx([dunnett(correlated(2), 15) * error] * 2)
    (mixed,) = contrasts(pool, interaction(levels, {0: 1, 1: 2}, {0: 0, 1: 0})[None])
    assert mixed.mean == pytest.approx(means[1, 2] - means[0, 2] - means[1, 0] + means[0, 0])
    assert mixed.half == pytest.approx(stats.t.ppf(0.975, 15) * pool.fit.sigma * math.sqrt(4 / 4))


@pytest.mark.parametrize(
    "scores",
    [
        [{1: 0.5}],
        [{1: 0.5}, {1: 0.7}],
        [{1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5}],
        [{1: 0.1, 2: 0.2}, {1: 0.3, 2: 0.4}],
        [{1: float(np.float32(0.3)), 2: float(np.float32(0.4))}, {1: float(np.float32(0.4)), 2: 0.5}],
        [{}, {}],
        [{1: 0.5, 2: 0.6}, {}],
    ],
)
def test_designs_without_spread_have_no_interval_and_no_warning(scores, recwarn):
    for estimate in to_baseline(make_pool(scores), 0):
        assert estimate is None or math.isnan(estimate.half)
        assert estimate is None or superiority(estimate) is None
    assert not [str(warning.message) + warning.filename for warning in recwarn.list]


def test_the_probability_of_a_better_seed_covers_the_truth_and_agrees_with_the_interval():
    draw, truth, inside = np.random.default_rng(13), stats.norm.cdf(1 / math.sqrt(2)), 0
    for table in draw.normal(size=(400, 3, 4)) + np.array([0, 0, 1.0])[:, None]:
        pool = make_pool(scores_of(table))
        pool.own[:] = False
        (estimate,) = contrasts(pool, np.array([[-1.0, 0, 1]]))
        found = superiority(estimate)
        inside += found.low <= truth <= found.high
        assert (found.low > 0.5) == (estimate.difference.low > 0)
        assert (found.high < 0.5) == (estimate.difference.high < 0)
        turned = superiority(estimate, maximize=False)
        assert (turned.value, turned.low) == pytest.approx((1 - found.value, 1 - found.high), abs=1e-5)
    assert 0.93 <= inside / 400 <= 0.97


def test_any_pattern_of_missing_runs_is_analyzed_without_a_warning(recwarn):
    draw = np.random.default_rng(17)
    for _ in range(40):
        table = draw.normal(size=draw.integers(2, 7, 2)) * draw.choice([1.0, 8.0])
        table[draw.random(table.shape) < 0.35] = math.nan
        pool = make_pool(scores_of(table))
        for estimate in [*to_baseline(pool, 0), *all_pairs(pool, range(len(table))).values()]:
            if estimate is not None and not estimate.own and pool.fit.has_spread:
                assert 0 < estimate.half < math.inf
            if estimate is not None and estimate.half > 0:
                found = superiority(estimate)
                assert 0 <= found.low <= found.value <= found.high <= 1
    assert not [str(warning.message) + warning.filename for warning in recwarn.list]
