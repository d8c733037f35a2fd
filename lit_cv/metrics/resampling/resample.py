"""Resampled test sets, and the value of a metric on each of them."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.uint8]
Values = NDArray[np.float64]

CHUNK = 100  # resamples that are in memory at a time, in each thread


class Matches(Protocol):
    """An evaluation of N images, reduced to what the value of one metric on resampled images needs.

    It is the sum over images that a metric needs, or matches of predictions with targets, which do not depend on the
    other images.
    """

    def values(self, weights: Weights) -> Values:
        """Return the metric of each resample, as logged; NaN where there is nothing to evaluate.

        A resample counts an image of weight w as w images with different ids, which follow one another.

        Args:
            weights: (R, N), how often each resample has each image.
        """

    def incomplete(self, weights: Weights) -> NDArray[np.bool_]:
        """Return for each resample, (R,), whether a class of the whole set is not in it, so that a mean lacks it."""


@dataclass(frozen=True)
class Bootstrap:
    """A metric on resampled images.

    Attributes:
        whole: Value on all images, each once.
        values: float64 (R,), value of each resample; NaN where there is nothing to evaluate.
        incomplete: Number of resamples without any object of a class that the whole set has.
    """

    whole: float
    values: Values
    incomplete: int


def multiplicities(units: int, resamples: int, seed: int) -> Weights:
    """Return how often each of ``resamples`` sets of N units, taken with replacement out of N, has each unit.

    Row i is a function of (``units``, ``seed``, the rows before it), so equal arguments give equal sets, and a longer
    table starts with the shorter one.

    Returns:
        uint8 (resamples, units); each row sums to ``units``.
    """
    random = np.random.default_rng([seed, units])
    rows = np.empty((resamples, units), dtype=np.uint8)
    for row in rows:
        row[:] = np.bincount(random.integers(0, units, size=units), minlength=units)
    return rows


def bootstrap(
    matches: Matches, weights: Weights, units: NDArray[np.int64], progress: Callable[[int], object] = int
) -> Bootstrap:
    """Return a metric on resampled units, such as images that hold several people.

    Threads share the resamples, because compiled loops and products of matrices release the GIL.

    Args:
        matches: The evaluation of N records.
        weights: (R, U), how often each resample has each unit.
        units: (N,), unit of each record.
        progress: Called with the number of resamples that are done since the last call.
    """

    def part(first: int) -> tuple[Values, int]:
        chunk = weights[first : first + CHUNK][:, units]
        found = matches.values(chunk), int(matches.incomplete(chunk).sum())
        progress(len(chunk))
        return found

    whole = matches.values(np.ones((1, len(units)), dtype=np.uint8))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        parts = list(pool.map(part, range(0, len(weights), CHUNK)))
    values = np.concatenate([values for values, _ in parts]) if parts else np.zeros(0)
    return Bootstrap(float(whole[0]), values, sum(count for _, count in parts))
