"""Ranking of Selective Search proposals, so that the first ones cover most objects."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled

# Chosen on VOC2012 val among 12, 16, 20, 25 and 0.8, 0.85, 0.9, 0.95, by recall at OpenCV's number of boxes.
SMALL = 16  # pixels; the authors' program drops boxes with a side below 20
SAME = 0.85  # boxes with a higher IoU are near duplicates


def rank(hierarchies: list[NDArray[np.int32]]) -> NDArray[np.float32]:
    """Order the boxes of all hierarchies, best first, and drop duplicates.

    A box's rank is its position in its hierarchy (1 is the whole image) times a random number (Uijlings et al. 2013,
    section 3.3). In addition to the paper, boxes with a side below 16 pixels come after the others, and near duplicates
    of a better box (IoU above 0.85) come last.

    Args:
        hierarchies: int32 (2N - 1, 4) each, in order of creation of the regions.

    Returns:
        float32 (N, 4).
    """
    random = np.random.default_rng(0)  # fixed seed: an image always gets the same proposals
    ranks = [random.random(len(boxes)) * np.arange(len(boxes), 0, -1) for boxes in hierarchies]
    boxes = np.concatenate(hierarchies)[np.argsort(np.concatenate(ranks), kind="stable")]
    _, first = np.unique(boxes, axis=0, return_index=True)
    boxes = boxes[np.sort(first)]
    small = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) < SMALL
    boxes = boxes[np.argsort(small, kind="stable")]
    return boxes[np.argsort(_repeats(boxes, SAME), kind="stable")].astype(np.float32)


@compiled
def _repeats(boxes: NDArray[np.int32], threshold: float) -> NDArray[np.bool_]:
    """Mark each box whose IoU with an earlier unmarked box is above the threshold, bool (N,)."""
    sizes = (boxes[:, 2:] - boxes[:, :2]).astype(np.float32)
    areas = sizes[:, 0] * sizes[:, 1]
    repeats = np.zeros(len(boxes), np.bool_)
    for first in range(len(boxes)):
        if repeats[first]:
            continue
        one, least, most = boxes[first], areas[first] * threshold, areas[first] / threshold
        for second in range(first + 1, len(boxes)):
            if areas[second] < least or areas[second] > most:
                continue
            other = boxes[second]
            width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
            height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
            together = areas[first] + areas[second] - width * height
            repeats[second] |= width * height > threshold * together
    return repeats
