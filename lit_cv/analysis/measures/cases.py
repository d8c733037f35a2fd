"""Errors of classification and localization: is the class wrong, the box, or both?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_cv.analysis.detection.confidence import Calibration, calibration
from lit_cv.metrics import LocalizationAccuracy
from lit_cv.ops.boxes import pairwise_iou

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
Numbers = NDArray[np.float64]
IOU = 0.5


@dataclass(frozen=True)
class Cases:
    """The most probable class of N images, and its box.

    Attributes:
        metrics: The numbers of ``LocalizationAccuracy``, as ``val/`` logs them.
        image_ids: int64 (N,).
        wanted: int64 (N,), true labels, 1..C.
        found: int64 (N,), most probable labels.
        ious: float64 (N,), IoU of the most probable class's box with the target.
        own_ious: float64 (N,), IoU of the true class's box with the target.
        probabilities: float64 (N, C), column c is that of label c + 1.
    """

    metrics: dict[str, float]
    image_ids: NDArray[np.int64]
    wanted: NDArray[np.int64]
    found: NDArray[np.int64]
    ious: Numbers
    own_ious: Numbers
    probabilities: Numbers

    @property
    def named(self) -> NDArray[np.bool_]:
        """Whether the class is right, (N,)."""
        named: NDArray[np.bool_] = self.wanted == self.found
        return named

    @property
    def boxed(self) -> NDArray[np.bool_]:
        """Whether the most probable class's box is right, (N,)."""
        boxed: NDArray[np.bool_] = self.ious >= IOU
        return boxed

    @property
    def calibration(self) -> Calibration:
        """Reliability of the most probable class."""
        return calibration(self.named, self.probabilities[np.arange(len(self.found)), self.found - 1])

    @property
    def class_ece(self) -> Numbers:
        """Calibration error of each class's probability over all images, (C,) (Kull et al. 2019, class-wise ECE)."""
        columns = enumerate(self.probabilities.T, start=1)
        return np.array([calibration(self.wanted == label, column).error for label, column in columns])

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """Count images by true class (row) and most probable class (column), (C, C)."""
        pairs = (self.wanted - 1) * classes + self.found - 1
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def read_cases(images: Iterable[Pair], classes: int) -> Cases:
    """Collect predictions with ``boxes``, ``labels`` and ``scores`` of all classes, and targets with one object.

    Args:
        images: Predictions, the most probable class first, and targets.
        classes: Number of classes, C.

    Raises:
        ValueError: See ``LocalizationAccuracy``.
    """
    metric, rows, probabilities = LocalizationAccuracy(IOU), [], []
    for found, target in images:
        metric.update([found], [target])
        overlap = pairwise_iou(target["boxes"], found["boxes"])[0].numpy()
        labels, wanted = found["labels"].numpy(), int(target["labels"][0])
        rows.append((int(target["image_id"]), wanted, int(labels[0]), overlap[0], overlap[labels == wanted][0]))
        probabilities.append(np.zeros(classes))
        probabilities[-1][labels - 1] = found["scores"].numpy()
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    ids, wanted_labels, labels = (column.astype(np.int64) for column in columns[:3])
    ious, own_ious = columns[3:]  # float32, as the metric compares them
    return Cases(metric.compute(), ids, wanted_labels, labels, ious, own_ious, np.stack(probabilities))
