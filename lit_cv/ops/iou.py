"""The overlap of boxes as NumPy arrays; :func:`lit_cv.ops.boxes.pairwise_iou` is its counterpart for tensors."""

import numpy as np
from numpy.typing import NDArray


def pairwise_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of every pair of boxes, xyxy, (N, 4) and (M, 4), as (N, M); boxes without area overlap nothing."""
    first_area, second_area = ((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (first, second))
    lower = np.maximum(first[:, None, :2], second[:, :2])
    upper = np.minimum(first[:, None, 2:], second[:, 2:])
    inter = (upper - lower).clip(0).prod(axis=2)
    union = first_area[:, None] + second_area - inter
    iou: NDArray[np.float64] = inter / np.maximum(union, np.finfo(np.float64).tiny)
    return iou
