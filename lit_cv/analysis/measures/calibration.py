"""Calibration: do predictions with a probability of 70 % hold in 70 % of the cases?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
BINS = 15  # as in Guo et al. 2017


class Reliability(NamedTuple):
    """Predictions in bins of equal width over their probability; bin m is ((m - 1) / M, m / M].

    Attributes:
        counts: int64 (M,), predictions.
        confidence: float64 (M,), mean probability; NaN for an empty bin.
        accuracy: float64 (M,), share of right predictions; NaN for an empty bin.
    """

    counts: NDArray[np.int64]
    confidence: Numbers
    accuracy: Numbers

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al. 2017, eq. 3): mean of |accuracy - confidence| over predictions."""
        gaps = self.counts * np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gaps) / self.counts.sum()) if self.counts.sum() else float("nan")


def reliability(probabilities: Numbers, right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Compare probabilities, float64 (N,) in [0, 1], with results, bool (N,), in bins of equal width."""
    places = np.clip(np.ceil(probabilities * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(places, weights=values, minlength=bins) / counts for values in (probabilities, right)]
    return Reliability(counts, *means)


def class_ece(probabilities: Numbers, labels: NDArray[np.int64], bins: int = BINS) -> Numbers:
    """Return the calibration error of each class's probability, (C,) (Kull et al. 2019, class-wise ECE).

    Args:
        probabilities: float64 (N, C), all probabilities of each example.
        labels: int64 (N,), true classes, 0..C - 1.
        bins: Number of bins.
    """
    columns = range(probabilities.shape[1])
    return np.array([reliability(probabilities[:, column], labels == column, bins).ece for column in columns])
