"""Pascal VOC average precision by the rule of the official development kit (VOCevaldet.m)."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from lit_cv.metrics.base import Array, Evaluation, ImageMetric, check_labels
from lit_cv.metrics.facts import PRECISION, Fact
from lit_cv.ops.iou import iou

# k / 10 is rounded like true positives / positives, so a recall of exactly 3/10 reaches the point 0.3.
ELEVEN_RECALLS = np.arange(11) / 10


class VOCAveragePrecision(ImageMetric):
    """Mean AP over classes at one IoU threshold, as the devkit computes it (Everingham et al. 2010, §4.2).

    Per class, the detections of all images are processed in descending order of scores (ties: by ``image_id``, then in
    the order of the prediction). Each detection is compared only with the target of its class and image that has the
    highest IoU. Below the threshold, it is a false positive. At or above the threshold, the first detection of a target
    is a true positive and later ones are false positives. A ``difficult`` target is not a positive, and detections on
    it are ignored.

    The devkit measures widths as xmax - xmin + 1 in 1-based inclusive pixels. Boxes here are (xmin - 1, ymin - 1,
    xmax, ymax), so x2 - x1 equals that width.

    ``compute`` returns ``map`` (float in [0, 1]) and ``map_per_class`` (float64 (C,), label i at i - 1). A class
    without a target that is not difficult has NaN and is excluded from the mean. ``map`` is NaN if all classes are.

    Args:
        class_names: Names of the labels 1..C.
        iou_threshold: In (0, 1]; the challenge uses 0.5.
        interpolation: "area" under the monotone precision-recall curve (VOC2010 on) or the mean of the precision at
            recall 0, 0.1, …, 1 ("11point", VOC2007).

    Attributes:
        FACT: Unit and direction of every number of ``compute``.
    """

    FACT: ClassVar[Fact] = PRECISION

    def __init__(
        self,
        class_names: Sequence[str],
        iou_threshold: float = 0.5,
        interpolation: Literal["area", "11point"] = "area",
    ) -> None:
        super().__init__()
        if interpolation not in ("area", "11point"):
            raise ValueError(f"interpolation must be 'area' or '11point', not {interpolation!r}")
        self.class_names = tuple(class_names)
        self.iou_threshold = iou_threshold
        self.interpolation = interpolation

    def compute(self) -> dict[str, float | Tensor]:
        """Evaluate all images seen since the last reset, on all ranks.

        Raises:
            ValueError: If a label is outside 1..C.
        """
        evaluation = self.evaluation()
        check_labels(evaluation, len(self.class_names))
        order = np.argsort(-evaluation.found["scores"], kind="stable")
        labels, hits, counted = judge(evaluation, order, self.iou_threshold)
        wanted_labels = evaluation.wanted["labels"][~evaluation.wanted["difficult"]]
        average = _area if self.interpolation == "area" else _eleven_points
        per_class = np.full(len(self.class_names), np.nan)
        for label in np.unique(wanted_labels):
            mine = (labels == label) & counted
            true = np.cumsum(hits[mine])
            recall = true / np.count_nonzero(wanted_labels == label)
            per_class[label - 1] = average(recall, true / np.arange(1, len(true) + 1))
        mean = float(np.nanmean(per_class)) if len(wanted_labels) else float("nan")
        return {"map": mean, "map_per_class": torch.from_numpy(per_class)}


def judge(evaluation: Evaluation, order: Array, iou_threshold: float) -> tuple[Array, Array, Array]:
    """Return per detection, in ``order``: its label, True for a true positive, and False if it is to be ignored."""
    found, wanted = evaluation.found, evaluation.wanted
    labels = found["labels"][order]
    target, overlap = _best_target(evaluation, order)
    matched = (target >= 0) & (overlap >= iou_threshold)
    on_difficult = matched.copy()
    on_difficult[matched] = wanted["difficult"][target[matched]]
    candidates = np.flatnonzero(matched & ~on_difficult)
    _, first = np.unique(target[candidates], return_index=True)
    hits = np.zeros(len(order), bool)
    hits[candidates[first]] = True
    return labels, hits, ~on_difficult


def _best_target(evaluation: Evaluation, order: Array) -> tuple[Array, Array]:
    """Return per detection the target of its image and class with the highest IoU, and that IoU.

    Ties go to the first target; the target is -1 if there is none.
    """
    found, wanted = evaluation.found, evaluation.wanted
    classes = 1 + max(found["labels"].max(initial=0), wanted["labels"].max(initial=0))
    found_group = (found["image"] * classes + found["labels"])[order]
    wanted_group = wanted["image"] * classes + wanted["labels"]
    by_group = np.argsort(wanted_group, kind="stable")
    start = np.searchsorted(wanted_group[by_group], found_group, "left")
    count = np.searchsorted(wanted_group[by_group], found_group, "right") - start

    # One row per pair of a detection and a target of its group; the pairs of a detection are adjacent.
    detection = np.repeat(np.arange(len(order)), count)
    first_pair = np.cumsum(count) - count
    pair = np.arange(len(detection))
    candidate = by_group[start[detection] + pair - first_pair[detection]]
    overlaps = iou(found["boxes"][order][detection], wanted["boxes"][candidate])

    target = np.full(len(order), -1)
    overlap = np.zeros(len(order))
    some = np.flatnonzero(count)
    if some.size:
        overlap[some] = np.maximum.reduceat(overlaps, first_pair[some])
        best = np.where(overlaps == overlap[detection], pair, len(pair))
        target[some] = candidate[np.minimum.reduceat(best, first_pair[some])]
    return target, overlap


def _area(recall: Array, precision: Array) -> float:
    """Return the area under the precision made monotone from the right (VOC2010 devkit, VOCap.m)."""
    recall = np.concatenate([[0.0], recall])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))


def _eleven_points(recall: Array, precision: Array) -> float:
    """Return the mean of the highest precision at recall ≥ 0, 0.1, …, 1 (VOC2007 devkit, VOCevaldet.m)."""
    reached = recall >= ELEVEN_RECALLS[:, None]
    return float(np.mean(np.where(reached, precision, 0.0).max(axis=1, initial=0.0)))
