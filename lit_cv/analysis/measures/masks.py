"""Errors of class masks: which classes are confused, and where the wrong pixels lie."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics import SegmentationMetrics
from lit_cv.metrics.contours import OUTSIDE, Bands, count_bands, no_bands

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class MaskErrors:
    """Errors of class masks, class 0 is the background.

    Attributes:
        metrics: The numbers of ``SegmentationMetrics``, as ``val/`` logs them.
        iou: float64 (C,), IoU by class over all images; NaN for a class that occurs nowhere.
        confusion: int64 (C, C), pixels of the row's class that are predicted as the column's.
        bands: Pixels along the contours of all images.
        image_ids: int64 (N,), the images.
        wrong: int64 (N,), wrong pixels of each image.
        counted: int64 (N,), its pixels that are not void.
    """

    metrics: dict[str, float]
    iou: NDArray[np.float64]
    confusion: NDArray[np.int64]
    bands: Bands
    image_ids: NDArray[np.int64]
    wrong: NDArray[np.int64]
    counted: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of wrong pixels of each image, (N,); 0 for an image of void alone."""
        shares: NDArray[np.float64] = self.wrong / np.maximum(self.counted, 1)
        return shares


def mask_errors(images: Iterable[Pair], classes: int) -> MaskErrors:
    """Compare masks with their targets, one image at a time.

    Args:
        images: Predictions and targets with ``mask`` uint8 (H, W); targets have ``image_id``.
        classes: Number of classes with the background.

    Raises:
        ValueError: A mask has another size than its target, or a label out of range.
    """
    metric, bands, rows = SegmentationMetrics(classes), no_bands(classes), []
    for found, target in images:
        metric.update([found], [target])
        mask, wanted = found["mask"].numpy(), target["mask"].numpy()
        counted = wanted != OUTSIDE
        bands += count_bands(mask, wanted, classes)
        wrong = np.count_nonzero((mask != wanted) & counted)
        rows.append((int(target["image_id"]), wrong, np.count_nonzero(counted)))
    measured = metric.compute()
    iou = np.asarray(measured.pop("iou_per_class"))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    numbers = {name: float(value) for name, value in measured.items()}
    return MaskErrors(numbers, iou, metric.confusion.numpy(), bands, *columns)
