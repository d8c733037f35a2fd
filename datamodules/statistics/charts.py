"""Numbers of the charts on a page of statistics. Each chart compares the splits of a data set."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
BySplit = Mapping[str, Numbers]
"""Numbers of each split, by its name."""

GRID = 24
"""Rows and columns of a map of places."""


class Fact(NamedTuple):
    """A number of each split.

    Attributes:
        name: Its name, for a table.
        values: The number of each split; NaN if there is none.
        kind: ``count``, ``number`` or ``share`` (0 to 1).
    """

    name: str
    values: Mapping[str, float]
    kind: Literal["count", "number", "share"] = "count"


class Bars(NamedTuple):
    """Counts of things with names.

    Attributes:
        title: Heading.
        about: The meaning of the counts and of their shares, one sentence.
        labels: The L names.
        counts: float64 (L,) of each split.
        bases: The number of each split that counts are shares of.
    """

    title: str
    about: str
    labels: Sequence[str]
    counts: BySplit
    bases: Mapping[str, float]


class Histogram(NamedTuple):
    """The distribution of a number.

    Attributes:
        title: Heading.
        about: The number and its unit, one sentence.
        ticks: Text at each of the B + 1 edges of the bins, or at each of the B bins; empty for none.
        counts: float64 (B,) of each split.
        medians: The median of each split; NaN without numbers.
    """

    title: str
    about: str
    ticks: Sequence[str]
    counts: BySplit
    medians: Mapping[str, float]


class HeatMap(NamedTuple):
    """Places in the pictures, which are stretched to one square.

    Attributes:
        title: Heading.
        about: The meaning of the values, one sentence.
        values: float64 (``GRID``, ``GRID``) of each split, from the top left, >= 0.
    """

    title: str
    about: str
    values: BySplit


class Matrix(NamedTuple):
    """Shares by two names.

    Attributes:
        title: Heading.
        about: The meaning of row and column, one sentence.
        labels: The L names.
        values: float64 (L, L), from 0 to 1; NaN for none.
    """

    title: str
    about: str
    labels: Sequence[str]
    values: Numbers


Chart = Bars | Histogram | HeatMap | Matrix


class Statistics(NamedTuple):
    """The statistics of a data set.

    Attributes:
        facts: The rows of the table.
        charts: The charts, in their order.
        findings: Sentences about what stands out.
    """

    facts: list[Fact]
    charts: list[Chart]
    findings: list[str]


def together(*parts: Statistics) -> Statistics:
    """Return the facts, charts and findings of all parts, in their order."""
    return Statistics(
        [fact for part in parts for fact in part.facts],
        [chart for part in parts for chart in part.charts],
        [finding for part in parts for finding in part.findings],
    )


def histogram(title: str, about: str, values: BySplit, edges: Numbers, ticks: Sequence[str]) -> Histogram:
    """Count numbers in bins; those beyond the first and the last edge are in the first and the last bin.

    Args:
        title: Heading.
        about: The number and its unit.
        values: The numbers of each split.
        edges: The B + 1 edges of the bins, ascending.
        ticks: See :class:`Histogram`.
    """
    counts, medians = {}, {}
    for split, numbers in values.items():
        known = numbers[np.isfinite(numbers)]
        counts[split] = np.histogram(known.clip(edges[0], edges[-1]), edges)[0].astype(np.float64)
        medians[split] = float(np.median(known)) if len(known) else np.nan
    return Histogram(title, about, ticks, counts, medians)


def log_histogram(title: str, about: str, values: BySplit, low: int, high: int, bins: int = 4) -> Histogram:
    """Count numbers in bins of equal ratio, ``bins`` for each power of two within ``2**low`` and ``2**high``."""
    known = np.log2(np.concatenate([numbers[np.isfinite(numbers) & (numbers > 0)] for numbers in values.values()]))
    if len(known):
        low = int(np.floor(known.min()).clip(low, high - 1))
        high = int(np.ceil(known.max()).clip(low + 1, high))
    powers = np.arange(bins * low, bins * high + 1)
    ticks = [_power(power // bins) if power % bins == 0 else "" for power in powers.tolist()]
    return histogram(title, about, values, 2.0 ** (powers / bins), ticks)


def whole_histogram(title: str, about: str, values: BySplit, most: int = 40) -> Histogram:
    """Count whole numbers from 0, a bin for each; with a larger maximum than ``most``, a bin for several."""
    top = max((int(numbers.max()) for numbers in values.values() if len(numbers)), default=0) + 1
    step = -(-top // most)
    edges = np.arange(0, top + step, step, dtype=np.float64)
    every = max(1, (len(edges) - 1) // 8)
    ticks = ["" if place % every else f"{edge:g}" for place, edge in enumerate(edges[:-1])]
    return histogram(title, about, values, edges, ticks)


def _power(exponent: int) -> str:
    return f"{2**exponent}" if exponent >= 0 else f"1/{2**-exponent}"


def mean(numbers: NDArray[Any]) -> float:
    """Return the mean; NaN without numbers."""
    return float(numbers.mean()) if len(numbers) else np.nan


def median(numbers: NDArray[Any]) -> float:
    """Return the median; NaN without numbers."""
    return float(np.median(numbers)) if len(numbers) else np.nan
