"""The interval over seeds and images: against mixedlm, against a simulation, and where parts vanish."""

import math

import numpy as np
import pandas
import pytest
import statsmodels.formula.api as smf
from scipy.special import stdtrit

from lit_cv.ablation.images.crossed import Deviations, Part, over_both, over_images, variance


def critical(df: float) -> float:
    return float(stdtrit(df, 0.975))


def crossed(rng: np.random.Generator, seeds: int, images: int, spread: tuple[float, float, float]) -> np.ndarray:
    """Return per-image differences (seeds, images): effects of seeds, of images, and of both."""
    rows, columns = rng.normal(0, spread[0], (seeds, 1)), rng.normal(0, spread[1], (1, images))
    return rows + columns + rng.normal(0, spread[2], (seeds, images))


def parts(table: np.ndarray, weights: np.ndarray) -> tuple[float, Part, Deviations]:
    """Return mean, part of the seeds and deviations of a metric that is a mean over images."""
    by_seed = table.mean(axis=1)
    deviations = table @ weights.T / table.shape[1] - by_seed[:, None]
    seeds = Part(by_seed.var(ddof=1) / len(table), len(table) - 1)
    return float(by_seed.mean()), seeds, Deviations(deviations, table.shape[1])


def resamples(rng: np.random.Generator, count: int, images: int) -> np.ndarray:
    return rng.multinomial(images, np.full(images, 1 / images), count)


def test_equals_mixedlm_with_crossed_effects() -> None:
    """The standard error of the intercept with random seeds and images, fitted by restricted maximum likelihood."""
    rng = np.random.default_rng(1)
    table = crossed(rng, 5, 12, (0.5, 1.5, 1.0)) + 0.7
    mean, seeds, found = parts(table, resamples(rng, 60_000, 12))
    seed, image = (index.ravel() for index in np.indices(table.shape))
    data = pandas.DataFrame({"y": table.ravel(), "seed": seed, "image": image, "all": 1})
    effects = {"seed": "0 + C(seed)", "image": "0 + C(image)"}
    fitted = smf.mixedlm("y ~ 1", data, groups="all", vc_formula=effects, re_formula="0").fit(reml=True)
    assert mean == pytest.approx(fitted.params["Intercept"], abs=1e-6)
    assert math.sqrt(variance(seeds, found).variance) == pytest.approx(fitted.bse["Intercept"], rel=0.01)
    assert fitted.bse["Intercept"] > 1.2 * math.sqrt(seeds.variance)
    # Satterthwaite by hand, from the mean squares
    n, images = table.shape
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    squares = [images * table.mean(1).var(ddof=1), n * table.mean(0).var(ddof=1),
               (residual**2).sum() / (n - 1) / (images - 1)]  # fmt: skip
    df = (squares[0] + squares[1] - squares[2]) ** 2 / sum(
        square**2 / own for square, own in zip(squares, (n - 1, images - 1, (n - 1) * (images - 1)), strict=True)
    )
    assert variance(seeds, found).df == pytest.approx(df, rel=0.03)


@pytest.mark.parametrize(
    ("seeds", "images", "spread"),
    [
        (2, 23, (0.5, 1.0, 0.5)),
        (3, 23, (0.2, 1.0, 0.5)),
        (3, 40, (0.5, 1.0, 1.0)),
        (5, 15, (0.4, 0.4, 1.0)),
        (4, 30, (0.0, 0.0, 1.0)),
    ],
)
def test_covers_the_difference_of_new_seeds_and_new_images(
    seeds: int, images: int, spread: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(seeds * images)
    weights, covered, alone = resamples(rng, 200, images), 0, 0
    for _ in range(1000):
        mean, own, found = parts(crossed(rng, seeds, images, spread), weights)
        (image,) = over_images([mean], [found])
        least = max((image.high - image.low) / 2, critical(own.df) * math.sqrt(own.variance))
        both = over_both(mean, own, found, critical, least)
        covered += both.low <= 0 <= both.high
        alone += image.low <= 0 <= image.high
    assert 0.93 <= covered / 1000 <= 0.985
    assert alone < covered


def test_parts_that_vanish_and_several_arms() -> None:
    rng = np.random.default_rng(4)
    weights = resamples(rng, 2000, 20)
    mean, seeds, found = parts(crossed(rng, 4, 20, (1.0, 1.0, 1.0)), weights)
    assert vars(variance(Part(0.0, 3), found)) == pytest.approx(vars(found.of_images))  # the seeds add nothing
    nothing = Deviations(np.zeros((4, 2000)), 20)
    assert vars(variance(seeds, nothing)) == pytest.approx(vars(seeds))  # the images add nothing
    assert variance(Part(0.0, 3), nothing).variance == 0.0
    same = over_both(mean, Part(0.0, 3), nothing, critical)
    assert (same.low, same.high) == (mean, mean)
    one_seed = Deviations(found.by_seed[:1], 20)
    assert one_seed.of_both.variance == 0.0
    # the interval of one difference: the 95 % quantile of its deviations
    (alone,) = over_images([mean], [found])
    assert alone.high - mean == pytest.approx(np.quantile(np.abs(found.of_mean), 0.95) * math.sqrt(20 / 19))
    others = [parts(crossed(rng, 4, 20, (1.0, 1.0, 1.0)), weights)[2] for _ in range(5)]
    together = over_images([mean] * 6, [found, *others])
    assert together[0].high > alone.high
    (twice, again) = over_images([mean, mean], [found, found])  # equal arms cost nothing
    assert (twice, again) == (alone, alone)
