"""Average precision of resampled images: one pass over ranked predictions for each resample, compiled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics.resampling.resample import Values, Weights
from lit_cv.ops.compiled import compiled

Needed = Callable[[NDArray[np.int64]], NDArray[np.int64]]
Rule = Needed | Literal["area", "recall"]
"""A rule that makes a number of a list: the mean of the highest precisions at some numbers of true positives, (R,)
positives to (R, points); the area under the monotone curve; or the recall of the whole list."""


@dataclass(frozen=True)
class Ranking:
    """Predictions of one class at one threshold, in descending order of scores. Ignored ones are left out.

    Attributes:
        image: int32 (D,), position of each prediction's image.
        hits: bool (D,), whether it is a true positive.
        tied: bool (D,), whether it has the score and the image of the prediction before it.
        label: Index of its class in ``Rankings.positives``.
    """

    image: NDArray[np.int32]
    hits: NDArray[np.bool_]
    tied: NDArray[np.bool_]
    label: int

    @classmethod
    def of(cls, image: NDArray[np.int64], hits: NDArray[np.bool_], scores: Values, label: int) -> "Ranking":
        """Return a ranking without its end: predictions after the last true positive change no number.

        Those of its image and score belong to it, because they lie between its copies.
        """
        tied = np.zeros(len(image), dtype=np.bool_)
        tied[1:] = (scores[1:] == scores[:-1]) & (image[1:] == image[:-1])
        last = int(np.flatnonzero(hits)[-1]) + 1 if hits.any() else 0
        while 0 < last < len(tied) and tied[last]:
            last += 1
        image, hits, tied = image[:last], hits[:last], tied[:last]
        return cls(image.astype(np.int32), np.ascontiguousarray(hits), tied, label)


@dataclass(frozen=True)
class Rankings:
    """A mean of average precisions, over those whose class has a positive; see ``Matches``.

    Attributes:
        rankings: One list for each class and threshold.
        positives: int64 (classes, N), number of targets in each image that are to be found.
        rule: See ``Rule``.
    """

    rankings: Sequence[Ranking]
    positives: NDArray[np.int64]
    rule: Rule

    def values(self, weights: Weights) -> Values:
        """See ``Matches``."""
        positives = self._positives(weights)
        highest = int(weights.max(initial=1))
        total, lists = np.zeros(len(weights)), np.zeros(len(weights))
        needed: dict[int, NDArray[np.int64]] = {}
        for ranking in self.rankings:
            count = positives[:, ranking.label]
            if ranking.label not in needed:
                needed = {ranking.label: self._needed(count)}
            sums = _sums(weights, *_copies(ranking, highest), needed[ranking.label], isinstance(self.rule, str),
                         self.rule == "recall")  # fmt: skip
            points = count if isinstance(self.rule, str) else needed[ranking.label].shape[1]
            with np.errstate(invalid="ignore", divide="ignore"):
                total += np.where(count > 0, sums / points, 0.0)
            lists += count > 0
        with np.errstate(invalid="ignore"):
            return total / lists

    def incomplete(self, weights: Weights) -> NDArray[np.bool_]:
        """See ``Matches``."""
        there = self.positives.any(axis=1)
        missing: NDArray[np.bool_] = (self._positives(weights)[:, there] == 0).any(axis=1)
        return missing

    def _positives(self, weights: Weights) -> NDArray[np.int64]:
        # products of float64 are those of BLAS, and exact for counts
        products = weights.astype(np.float64) @ self.positives.T.astype(np.float64)
        return products.astype(np.int64)

    def _needed(self, positives: NDArray[np.int64]) -> NDArray[np.int64]:
        if isinstance(self.rule, str):
            return np.zeros((len(positives), 0), dtype=np.int64)
        return self.rule(positives)


def at_recalls(recalls: Values) -> Needed:
    """Return the rule of COCO and VOC2007: the smallest number of true positives whose share is at least each recall.

    The comparison is that of the evaluations, of a quotient of floats with the recall.
    """

    def needed(positives: NDArray[np.int64]) -> NDArray[np.int64]:
        whole = np.maximum(positives, 1)[:, None]
        least = np.maximum(np.ceil(recalls * whole).astype(np.int64) - 1, 0)
        for _ in range(2):  # rounding moves the product by less than one
            least += least / whole < recalls
        return least

    return needed


def _copies(ranking: Ranking, highest: int) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Return image, copy and hit of each prediction, with runs of equal scores and images as they are in a resample.

    A run that is a true and a false positive, from an image that a resample has twice, is true, false, true, false,
    because copies of an image follow one another. Such runs are repeated ``highest`` times, and copy k counts in
    resamples with at least k such images; of all other predictions the copy is 0, and they count once for each image.
    """
    run = np.cumsum(~ranking.tied) - 1
    first = np.flatnonzero(~ranking.tied)
    size = np.diff(first, append=len(run))
    true = np.add.reduceat(ranking.hits, first, dtype=np.int64) if len(first) else size
    mixed = (true > 0) & (true < size)
    if not mixed.any():
        return ranking.image, np.zeros(0, dtype=np.uint8), ranking.hits
    times = np.where(mixed, highest, 1)
    # each run with its copies, one copy after the other
    copy_of = np.repeat(np.arange(len(first)), times)
    copy = np.arange(len(copy_of)) - np.repeat(np.cumsum(times) - times, times)
    sizes = size[copy_of]
    start = np.repeat(first[copy_of] - (np.cumsum(sizes) - sizes), sizes)
    places = start + np.arange(sizes.sum())
    numbers = np.where(mixed[copy_of], copy + 1, 0)
    return ranking.image[places], np.repeat(numbers, sizes).astype(np.uint8), ranking.hits[places]


@compiled
def _sums(
    weights: Weights,
    image: NDArray[np.int32],
    copy: NDArray[np.uint8],
    hits: NDArray[np.bool_],
    needed: NDArray[np.int64],
    every: bool,
    recall: bool,
) -> Values:
    """Return for each resample, (R,), the sum of the highest precisions at a number of true positives or at more.

    Args:
        weights: (R, N), how often each resample has each image.
        image: (D,), image of each prediction.
        copy: (D,), or (0,) if all are 0; see ``_copies``.
        hits: (D,), whether it is a true positive.
        needed: (R, points), ascending numbers of true positives at which the precision is taken.
        every: Take it at every true positive in place of these.
        recall: Return the number of true positives.
    """
    rows, points, length = len(weights), needed.shape[1], len(image)
    ends = np.flatnonzero(hits)
    precision, found = np.empty(len(ends)), np.empty(len(ends), dtype=np.int64)
    sums = np.zeros(rows)
    for row in range(rows):
        weight = weights[row]
        true, false, place = np.int64(0), np.int64(0), 0
        for k in range(len(ends)):
            if len(copy) == length:
                while place < ends[k]:
                    count = np.int64(weight[image[place]])
                    false += count if copy[place] == 0 else np.int64(count >= copy[place])
                    place += 1
                count = np.int64(weight[image[place]])
                true += count if copy[place] == 0 else np.int64(count >= copy[place])
            else:
                for other in range(place, ends[k]):
                    false += np.int64(weight[image[other]])
                true += np.int64(weight[image[ends[k]]])
            place = ends[k] + 1
            precision[k] = true / (true + false) if true > 0 else 0.0
            found[k] = true
        if recall:
            sums[row] = true
            continue
        best, point = 0.0, points - 1
        for k in range(len(ends) - 1, -1, -1):
            best = max(best, precision[k])
            before = found[k - 1] if k > 0 else (0 if every else -1)
            if every:
                sums[row] += best * (found[k] - before)
            while point >= 0 and needed[row, point] > found[k]:
                point -= 1
            while point >= 0 and needed[row, point] > before:
                sums[row] += best
                point -= 1
    return sums
