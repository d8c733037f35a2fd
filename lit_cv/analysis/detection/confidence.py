"""Scores of detections: precision, recall and F1 by threshold, and how far a score is a probability."""

from typing import NamedTuple

import numpy as np

from lit_cv.analysis.detection.matches import Flags, Floats

BINS = 10


class Curve(NamedTuple):
    """Precision and recall of all detections with at least a score, for each score that occurs, descending.

    Attributes:
        thresholds: float64 (T,).
        precision: float64 (T,).
        recall: float64 (T,).
        f1: float64 (T,), 2 P R / (P + R).
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    @property
    def best(self) -> int:
        """Position of the highest F1, of several the one with the highest threshold; -1 without detections."""
        return int(self.f1.argmax()) if len(self.f1) else -1

    @property
    def threshold(self) -> float:
        """The threshold with the highest F1; 0 without detections."""
        return float(self.thresholds[self.best]) if len(self.thresholds) else 0.0


class Calibration(NamedTuple):
    """The reliability of scores, in ten bins of equal width.

    Attributes:
        numbers: float64 (10,), detections of each bin.
        score: float64 (10,), their mean score; NaN for an empty bin.
        precision: float64 (10,), share of true positives among them.
        error: Expected calibration error: the mean over all detections of abs(precision - score) of their bin; Guo,
            Pleiss, Sun and Weinberger 2017, equation 3, for detections Kueppers, Kronenberger, Shantia and Haselhoff
            2020, equation 4, with the score alone. NaN without detections.
    """

    numbers: Floats
    score: Floats
    precision: Floats
    error: float


def curve(right: Flags, scores: Floats, objects: int) -> Curve:
    """Return the curve of detections.

    Args:
        right: bool (M,), whether each detection is a true positive.
        scores: float64 (M,).
        objects: Number of targets.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    true, number = np.cumsum(right[order]), np.arange(1, len(order) + 1)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(order) else np.zeros(0, np.int64)
    true, number = true[last], number[last]
    f1 = 2 * true / (number + objects) if len(last) else np.zeros(0)
    return Curve(ordered[last], true / number, true / max(objects, 1), f1)


def calibration(right: Flags, scores: Floats) -> Calibration:
    """Return the reliability of scores in [0, 1]; the bins are (0, 0.1], ..., (0.9, 1]."""
    bins = np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS).astype(np.float64)
    with np.errstate(invalid="ignore"):
        score = np.bincount(bins, scores, BINS) / count
        precision = np.bincount(bins, right.astype(np.float64), BINS) / count
    filled = count > 0
    gap = np.abs(precision - score)[filled]
    error = float((gap * count[filled]).sum() / count.sum()) if filled.any() else float("nan")
    return Calibration(count, score, precision, error)
