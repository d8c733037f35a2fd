"""Detections beside targets: their overlaps, and their matches at one threshold."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics.base import Array, Evaluation

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
MOST = 100  # detections of an image
NOBODY = -1


@dataclass(frozen=True)
class Detections:
    """The detections of all images, at most 100 of each, and the overlaps with the targets of their image.

    Attributes:
        rows: int64 (M,), row of each detection in the evaluation: by image, then by descending score, ties in the order
            of the prediction.
        image: int64 (M,), position of its image.
        scores: float64 (M,).
        labels: int64 (M,).
        wanted: Columns of the N targets, among them ``image``, ``labels``, ``area``, ``iscrowd``.
        detection: int64 (P,), the detection of each pair with a target of its image, ascending.
        target: int64 (P,), its target, ascending for each detection.
        overlap: float64 (P,), IoU of the pair; for a crowd, the share of the detection within it.
    """

    rows: Integers
    image: Integers
    scores: Floats
    labels: Integers
    wanted: dict[str, Array]
    detection: Integers
    target: Integers
    overlap: Floats

    @cached_property
    def crowd(self) -> Flags:
        """Whether the target of each pair is a crowd, bool (P,)."""
        flags: Flags = self.wanted["iscrowd"][self.target]
        return flags

    @cached_property
    def same(self) -> Flags:
        """Whether both of each pair have the same label, bool (P,)."""
        equal: Flags = self.labels[self.detection] == self.wanted["labels"][self.target]
        return equal

    def best(self, overlaps: Floats) -> tuple[Floats, Integers]:
        """Return for each detection the largest of its pairs' values (0 without a pair), and the first target with it.

        Args:
            overlaps: float64 (P,), not negative.
        """
        values, targets = np.zeros(len(self.rows)), np.full(len(self.rows), NOBODY)
        if len(overlaps):
            own, first = np.unique(self.detection, return_index=True)
            values[own] = np.maximum.reduceat(overlaps, first)
            place = np.where(overlaps == values[self.detection], np.arange(len(overlaps)), len(overlaps))
            targets[own] = self.target[np.minimum.reduceat(place, first)]
        return values, targets

    def match(self, threshold: float, chosen: Flags, allowed: Flags) -> Integers:
        """Return the target of each detection, int64 (M,), -1 for none.

        In descending order of scores, each detection takes the target with the largest overlap that is still free.

        Args:
            threshold: Smallest overlap.
            chosen: bool (M,), detections that take part.
            allowed: bool (P,), pairs that may match.
        """
        pairs = np.flatnonzero(allowed & (self.overlap >= threshold) & chosen[self.detection])
        pairs = pairs[np.lexsort((self.target[pairs], -self.overlap[pairs], self.detection[pairs]))]
        matched = np.full(len(self.rows), NOBODY)
        taken = np.zeros(len(self.wanted["labels"]), bool)
        for detection, target in zip(self.detection[pairs].tolist(), self.target[pairs].tolist(), strict=True):
            if matched[detection] == NOBODY and not taken[target]:
                matched[detection], taken[target] = target, True
        return matched


def detections(evaluation: Evaluation) -> Detections:
    """Return the detections of an evaluation; those with masks are compared by their masks."""
    found, wanted = evaluation.found, evaluation.wanted
    order = np.lexsort((-found["scores"], found["image"]))  # stable, so ties keep their order
    image = found["image"][order]
    rank = np.arange(len(order)) - np.searchsorted(image, image)
    rows = order[rank < MOST]
    image = found["image"][rows]
    images = np.arange(len(evaluation.image_ids) + 1)
    starts, others = np.searchsorted(image, images), np.searchsorted(wanted["image"], images)
    count = np.diff(others)[image]
    first = np.cumsum(count) - count
    detection = np.repeat(np.arange(len(rows)), count)
    target = np.arange(len(detection)) - first[detection] + others[image[detection]]
    shapes = (_shapes(found, rows), _shapes(wanted, np.arange(len(wanted["labels"]))))
    parts = [np.zeros(0)]
    for place in np.flatnonzero((np.diff(starts) > 0) & (np.diff(others) > 0)).tolist():
        own, its = slice(starts[place], starts[place + 1]), slice(others[place], others[place + 1])
        parts.append(np.ravel(hotcoco.mask.iou(shapes[0][own], shapes[1][its], wanted["iscrowd"][its])))
    return Detections(
        rows, image, found["scores"][rows], found["labels"][rows], wanted, detection, target, np.concatenate(parts)
    )


def _shapes(columns: dict[str, Array], rows: Integers) -> Any:
    """Return masks as dictionaries, or boxes as x, y, width, height."""
    if "masks" in columns:
        sizes = columns["mask_size"].reshape(-1, 2)[rows].tolist()
        return [
            {"size": size, "counts": counts}
            for size, counts in zip(sizes, columns["masks"][rows].tolist(), strict=True)
        ]
    boxes = columns["boxes"][rows]
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
