"""Power and the number of seeds against independent computations, and Stein's rule by simulation."""

import numpy as np
import pytest

from lit_cv.ablation.statistics.comparisons import to_baseline
from lit_cv.ablation.statistics.pool import make_pool
from lit_cv.ablation.statistics.resolution import Design
from lit_cv.ablation.statistics.stein import first_stage, narrowed, of_first_stage, seeds_needed, widest


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_two_arms_have_the_power_of_a_paired_test(seeds):
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    design = Design(2, seeds, 1.3)
    assert design.power(2.0) == pytest.approx(power.power(2.0 / (1.3 * 2**0.5), nobs=seeds, alpha=0.05), abs=1e-6)
    smallest = power.solve_power(nobs=seeds, alpha=0.05, power=0.8) * 1.3 * 2**0.5
    assert design.smallest == pytest.approx(smallest, rel=1e-5)
    assert design.power(design.smallest) == pytest.approx(0.8, abs=1e-9)


def test_needed_seeds_are_the_fewest():
    for arms, difference in ((2, 1.0), (3, 0.5), (6, 3.0)):
        seeds = Design(arms, 3, 1.0).needed(difference)
        assert Design(arms, seeds, 1.0).power(difference) >= 0.8 > Design(arms, seeds - 1, 1.0).power(difference)
    assert Design(2, 3, 1.0).needed(1e-4) is None


def test_stein_s_number_of_seeds_by_hand():
    arms = [{1: 0.0, 2: 0.01, 3: 0.02, 4: 0.5}, {1: 0.02, 2: 0.01, 3: 0.0, 4: 0.5}]
    begun = [{seed: own[seed] for seed in (1, 2, 3)} for own in arms]
    half = widest(begun)
    assert half == pytest.approx(4.302653 * 0.02 / 3**0.5, rel=1e-6)  # t(0.975, 2) · s / √n of -0.02, 0, 0.02
    assert seeds_needed(3, half, 0.04) == 5  # 3 (0.04968 / 0.04)² = 4.63
    assert seeds_needed(3, half, 1.0) == 3
    _, found = of_first_stage(to_baseline(make_pool(arms), 0), arms, 0, (1, 2, 3))
    assert (found.n, found.df, found.mean) == (4, 2, pytest.approx(0.0))
    assert found.half == pytest.approx(half * (3 / 4) ** 0.5)


def studies(arms, first, wanted, most=10**6, count=1000, spread=1.0):
    """Simulate studies with Stein's rule; return the shares of valid and of narrow intervals, and the mean seeds."""
    rng, spreads = np.random.default_rng([arms, first, int(10 * wanted)]), np.ones(arms)
    spreads[-1] = spread
    valid = narrow = total = 0
    for _ in range(count):
        effects, blocks = rng.normal(size=arms) * 3, rng.normal(size=first) * 5
        begun = effects[:, None] + blocks + spreads[:, None] * rng.normal(size=(arms, first))
        halves = np.array([found.half for found in first_stage(begun) if found])
        seeds = min(most, seeds_needed(first, halves.max(), wanted))
        added = seeds - first  # their sum is simulated in one number for each arm; blocks cancel
        means = (begun.sum(1) + added * effects + np.sqrt(added) * spreads * rng.normal(size=arms)) / seeds
        errors = np.abs(means[1:] - means[0] - (effects[1:] - effects[0]))
        final = narrowed(halves.max(), first, seeds)
        valid += bool(np.all(errors <= [narrowed(half, first, seeds) for half in halves]))
        narrow += final <= wanted
        total += seeds
    return valid / count, narrow / count, total / count


def test_stein_s_intervals_cover_and_are_narrow():
    valid, narrow, _ = studies(3, 3, 1.5, count=300)
    assert narrow == 1.0
    assert valid >= 0.92
    valid, narrow, _ = studies(3, 3, 1.5, most=8, count=300)
    assert narrow < 1.0  # a limit gives wider intervals, not invalid ones
    assert valid >= 0.92


@pytest.mark.long
def test_table_of_stein_s_rule():
    """The table of docs/report.md: all intervals of a study together cover with at least 95 %, within 3 errors."""
    for arms in (2, 3, 6):
        for first in (3, 5):
            for wanted in (1.0, 2.0):
                valid, narrow, seeds = studies(arms, first, wanted)
                print(f"| {arms} | {first} | {wanted:g} σ | {seeds:.1f} | {valid:.1%} | {narrow:.0%} |")
                assert narrow == 1.0
                assert valid >= 0.95 - 3 * (0.95 * 0.05 / 1000) ** 0.5
    for first in (3, 5, 8):
        valid, narrow, seeds = studies(6, first, 1.0, spread=4.0)
        print(f"| 6, one of 4 σ | {first} | 1 σ | {seeds:.1f} | {valid:.1%} | {narrow:.0%} |")
