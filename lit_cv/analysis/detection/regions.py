"""All findings about boxes, or about masks, computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lit_cv.analysis.detection.confidence import Calibration, Curve, calibration, curve
from lit_cv.analysis.detection.confusions import confusion_matrix
from lit_cv.analysis.detection.matches import NOBODY, Detections, Flags, Floats, Integers, detections
from lit_cv.analysis.detection.slices import Group, groups
from lit_cv.analysis.detection.tide import Errors, costs, find_errors
from lit_cv.metrics.base import Array, Evaluation
from lit_cv.metrics.coco_tables import COCO_SIGMAS, IouType, evaluate


class Averages(NamedTuple):
    """COCO's average precisions, NaN where there is nothing to evaluate.

    Attributes:
        numbers: By name, as the metric ``COCOAveragePrecision`` names them.
        by_class: float64 (C,), IoU 0.5 to 0.95.
        by_class_50: float64 (C,), IoU 0.5.
        precision: float64 (10, 101), mean over the classes, at IoU 0.5, 0.55, ..., 0.95 and recall 0, 0.01, ..., 1.
    """

    numbers: Mapping[str, float]
    by_class: Floats
    by_class_50: Floats
    precision: Floats


@dataclass(frozen=True)
class Regions:
    """Findings about boxes or masks.

    Attributes:
        kind: ``bbox`` or ``segm``.
        names: Names of labels 1..C.
        averages: COCO's numbers.
        found: The detections and their overlaps.
        errors: TIDE's errors.
        costs: What they cost, see ``tide.costs``.
        curve: Precision and recall over all classes, at IoU 0.5.
        calibration: Reliability of all scores.
        confusion: int64 (C + 1, C + 1), at the threshold with the best F1.
        groups: Groups of objects.
    """

    kind: IouType
    names: Sequence[str]
    averages: Averages
    found: Detections
    errors: Errors
    costs: Mapping[str, float]
    curve: Curve
    calibration: Calibration
    confusion: Integers
    groups: Sequence[Group]

    @property
    def right(self) -> Flags:
        """Whether each detection is a true positive, bool (M,)."""
        flags: Flags = self.errors.matched != NOBODY
        return flags

    @property
    def threshold(self) -> float:
        """Score with the best F1."""
        return self.curve.threshold

    def of_class(self, label: int) -> tuple[Curve, Calibration]:
        """Return curve and reliability of one class."""
        own = (self.found.labels == label) & ~self.errors.ignored
        wanted = self.found.wanted
        objects = int(((wanted["labels"] == label) & ~wanted["iscrowd"]).sum())
        right, scores = self.right[own], self.found.scores[own]
        return curve(right, scores, objects), calibration(right, scores)

    def wrong_by_image(self, images: int) -> Integers:
        """Return the errors of each image at the threshold: false positives and objects without a match, int64 (I,)."""
        confident = self.found.scores >= self.threshold
        false = confident & ~self.right & ~self.errors.ignored
        lost = ~self.found.wanted["iscrowd"]
        lost[self.errors.matched[confident & self.right]] = False
        owners = np.concatenate([self.found.image[false], self.found.wanted["image"][lost]])
        return np.bincount(owners, minlength=images)


def find_regions(kind: IouType, evaluation: Evaluation, flags: Mapping[str, Array], names: Sequence[str]) -> Regions:
    """Compute all findings.

    Args:
        kind: ``bbox`` or ``segm``.
        evaluation: Predictions and targets.
        flags: bool (N,) of the targets by name: ``truncated``, ``occluded``.
        names: Names of labels 1..C.
    """
    found = detections(evaluation._replace(wanted=evaluation.wanted | dict(flags)))
    errors = find_errors(found)
    seen, right = ~errors.ignored, errors.matched != NOBODY
    objects = int((~evaluation.wanted["iscrowd"]).sum())
    whole = curve(right[seen], found.scores[seen], objects)
    return Regions(
        kind,
        names,
        find_averages(kind, evaluation, len(names)),
        found,
        errors,
        costs(found, errors),
        whole,
        calibration(right[seen], found.scores[seen]),
        confusion_matrix(found, errors.ignored, whole.threshold, len(names)),
        groups(found, errors, whole.threshold),
    )


def find_averages(
    kind: IouType, evaluation: Evaluation, classes: int, sigmas: Sequence[float] = COCO_SIGMAS
) -> Averages:
    """Return COCO's average precisions of boxes, masks or keypoints."""
    tables, _ = evaluate(evaluation, list(range(1, classes + 1)), kind, sigmas)
    precision = np.where(tables > -1, tables, np.nan)[..., -1]  # at most 100 detections, or 20 people
    sizes = ("medium", "large") if kind == "keypoints" else ("small", "medium", "large")
    numbers = {
        "map": _mean(precision[..., 0]),
        "map_50": _mean(precision[0, ..., 0]),
        "map_75": _mean(precision[5, ..., 0]),
    }
    numbers |= {f"map_{size}": _mean(precision[..., place]) for place, size in enumerate(sizes, start=1)}
    by_class = np.array([_mean(precision[:, :, k, 0]) for k in range(classes)])
    by_class_50 = np.array([_mean(precision[0, :, k, 0]) for k in range(classes)])
    present = ~np.isnan(by_class)
    return Averages(
        numbers,
        by_class,
        by_class_50,
        precision[:, :, present, 0].mean(axis=2) if present.any() else np.zeros((10, 101)),
    )


def _mean(table: Floats) -> float:
    filled = table[~np.isnan(table)]
    return float(filled.mean()) if filled.size else float("nan")
