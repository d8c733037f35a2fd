"""The overlap of boxes as NumPy arrays; ``lit_cv.ops.boxes.pairwise_iou`` is its counterpart for tensors."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


def iou(first: Boxes, second: Boxes, last_pixel: float = 0.0) -> Boxes:
    """Compute the IoU of boxes xyxy, (..., 4) and (..., 4), element by element with broadcasting.

    Args:
        first: Boxes; those without area overlap nothing.
        second: Boxes likewise.
        last_pixel: 1 if the pixels at ``x2`` and ``y2`` belong to the box, so that its width is ``x2 - x1 + 1``.

    Returns:
        float64 (...), in [0, 1].
    """
    areas = [(boxes[..., 2:] - boxes[..., :2] + last_pixel).clip(0).prod(axis=-1) for boxes in (first, second)]
    lower = np.maximum(first[..., :2], second[..., :2])
    upper = np.minimum(first[..., 2:], second[..., 2:])
    inter = (upper - lower + last_pixel).clip(0).prod(axis=-1)
    overlap: Boxes = inter / np.maximum(areas[0] + areas[1] - inter, np.finfo(np.float64).tiny)
    return overlap


def pairwise_iou(first: Boxes, second: Boxes, last_pixel: float = 0.0) -> Boxes:
    """Compute the IoU of every pair of boxes, (N, 4) and (M, 4), as (N, M); see ``iou``."""
    return iou(first[:, None], second[None], last_pixel)
