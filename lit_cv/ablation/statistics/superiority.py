"""The probability that an arm is better than the baseline on a new seed."""

from scipy.optimize import brentq
from scipy.special import ndtr, stdtr

from lit_cv.ablation.statistics.comparisons import Estimate
from lit_cv.ablation.statistics.critical import spreads
from lit_cv.ablation.statistics.difference import Probability

CERTAIN = 8.0  # standard deviations beyond which a probability is 0 or 1


def superiority(estimate: Estimate, *, maximize: bool = True) -> Probability | None:
    """Return P(arm better than baseline on one new seed) = Φ(δ / τ), with its interval.

    τ is the standard deviation of the difference on one seed: √2 σ in the pool. The estimate divided by its standard
    error has a noncentral t distribution, whose inversion gives an exact interval of δ / τ (Reiser & Guttman 1986,
    Technometrics 28:253-257, equal variances). It has the level of the difference's adjusted interval, so that it
    excludes 50 % exactly where that excludes 0.

    Args:
        estimate: The difference to the baseline.
        maximize: Whether a higher score is better.

    Returns:
        The probability; None without an interval of the difference.
    """
    if not estimate.half > 0:
        return None
    found = (1 if maximize else -1) * estimate.mean / estimate.error
    tail = float(stdtr(estimate.df, -estimate.half / estimate.error))
    share = estimate.error / estimate.single
    low, high = (_noncentrality(found, estimate.df, p, CERTAIN / share) for p in (1 - tail, tail))
    value = min(max(share * found, -CERTAIN), CERTAIN)
    return Probability(*(float(ndtr(number)) for number in (value, share * low, share * high)))


def _noncentrality(found: float, df: int, p: float, most: float) -> float:
    """Return the noncentrality in [-most, most] for which a t of ``df`` is at most ``found`` with probability p.

    The distribution function is the mean of Φ(found · s − noncentrality) over the estimated spread s.
    """
    spread, density = spreads(df)

    def excess(noncentrality: float) -> float:
        return float(density @ ndtr(found * spread - noncentrality)) - p

    if excess(-most) <= 0 or excess(most) >= 0:
        return -most if excess(-most) <= 0 else most
    return float(brentq(excess, -most, most, xtol=1e-6))
