"""Metrics of sums over images: a resample adds the sums of its images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics.localization import PARTS
from lit_cv.metrics.resampling.resample import Values, Weights

Formula = Callable[[Values], Values]


@dataclass(frozen=True)
class Sums:
    """A metric that is a function of sums over images; see ``Matches``.

    Attributes:
        states: float64 (N, S), what each image adds. Counts are exact up to 2^53.
        formula: Maps sums (R, S) to the metric (R,), NaN where there is nothing to evaluate.
        classes: Number of first columns of ``states`` that count the pixels of one class each.
    """

    states: Values
    formula: Formula
    classes: int = 0

    def values(self, weights: Weights) -> Values:
        """See ``Matches``."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.formula(weights.astype(np.float64) @ self.states)

    def incomplete(self, weights: Weights) -> NDArray[np.bool_]:
        """See ``Matches``."""
        counts = self.states[:, : self.classes]
        counts = counts[:, counts.any(axis=0)]
        missing: NDArray[np.bool_] = (weights.astype(np.float64) @ counts == 0).any(axis=1)
        return missing


def quotient(sums: Values) -> Values:
    """Return the first of two sums divided by the second."""
    return sums[:, 0] / sums[:, 1]


def segmentation_sums(confusions: NDArray[np.int64], name: str, label: int | None = None) -> Sums:
    """Return a number of ``SegmentationMetrics``.

    Args:
        confusions: (N, C, C), confusion matrix of each image, targets by predictions.
        name: ``pixel_accuracy``, ``mean_accuracy``, ``miou``, ``fw_iou``, or ``iou`` of the class ``label``.
        label: The class.
    """
    classes = confusions.shape[1]
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    states = np.concatenate([confusions.sum(axis=2), confusions.sum(axis=1), hits], axis=1).astype(np.float64)

    def formula(sums: Values) -> Values:
        wanted, found, right = (sums[:, k * classes : (k + 1) * classes] for k in range(3))
        iou = right / (wanted + found - right)
        measures: dict[str, Callable[[], Values]] = {
            "pixel_accuracy": lambda: right.sum(axis=1) / wanted.sum(axis=1),
            "mean_accuracy": lambda: _nanmean(right / wanted),
            "miou": lambda: _nanmean(iou),
            "fw_iou": lambda: np.nansum(wanted * iou, axis=1) / wanted.sum(axis=1),
            "iou": lambda: iou[:, label],
        }
        return measures[name]()

    return Sums(states, formula, classes)


def boundary_sums(counts: NDArray[np.int64]) -> Sums:
    """Return the number of ``BoundaryIoU``.

    Args:
        counts: (N, 2, C), its ``counts`` of each image.
    """
    classes = counts.shape[2]
    states = np.concatenate([counts[:, 1], counts[:, 0]], axis=1).astype(np.float64)
    return Sums(states, lambda sums: _nanmean(sums[:, classes:] / sums[:, :classes]), classes)


def keypoint_sums(correct: NDArray[np.int64], labeled: NDArray[np.int64]) -> Sums:
    """Return the share of correct joints at one threshold.

    Args:
        correct: (N, K), correct joints of each record; only the joints of the total.
        labeled: (N, K), its labeled joints.
    """
    return Sums(np.stack([correct.sum(axis=1), labeled.sum(axis=1)], axis=1).astype(np.float64), quotient)


def localization_sums(sums: NDArray[np.int64], name: str) -> Sums:
    """Return a number of ``LocalizationAccuracy``.

    Args:
        sums: (N, 6), its ``sums`` of each image.
        name: Number of ``compute``.
    """
    column = ("loc_accuracy", "loc_accuracy_top5", "gt_class_error", "class_accuracy", "mean_iou").index(name) + 1
    unit = PARTS if name == "mean_iou" else 1
    states = np.stack([sums[:, column] / unit, sums[:, 0]], axis=1)
    return Sums(states, (lambda total: 1 - quotient(total)) if name == "gt_class_error" else quotient)


def _nanmean(table: Values) -> Values:
    filled = ~np.isnan(table)
    mean: Values = np.where(filled, table, 0.0).sum(axis=1) / filled.sum(axis=1)
    return mean
