"""IoU of class masks near their contours (Cheng et al. 2021)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_cv.metrics.contours import count_band
from lit_cv.metrics.facts import SHARE, Fact


class BoundaryIoU(Metric):
    """Compute the mean boundary IoU of the classes over all images, within a band of ``width`` pixels.

    The pixels of a class within ``width`` pixels of its contour in the target are compared with those in the prediction
    (arXiv:2103.16562, see ``lit_cv.metrics.contours.count_bands``). The paper takes 2 % of the image's diagonal; a
    width in pixels shows how exactly contours are placed. A class without pixels is excluded from the mean.

    Counts are integers, so the result does not depend on the batches or the number of processes.

    Args:
        num_classes: Number of classes including the background, at most 255.
        width: Width of the band in pixels, at least 1.

    Attributes:
        FACTS: Unit and direction of the number of ``compute``.
    """

    FACTS: ClassVar[dict[str, Fact]] = {"boundary_iou": SHARE}

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    counts: Tensor

    def __init__(self, num_classes: int, width: int = 2) -> None:
        super().__init__()
        self.num_classes, self.width = num_classes, width
        self.add_state("counts", torch.zeros(2, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Count the pixels of one batch, which ``SegmentationMetrics`` has checked.

        Args:
            preds: Per image ``mask`` uint8 (H, W), 0..num_classes - 1.
            targets: Per image ``mask`` uint8 (H, W), 0..num_classes - 1 or 255 for void.
        """
        for pred, target in zip(preds, targets, strict=True):
            found, wanted = (side["mask"].cpu().numpy() for side in (pred, target))
            counts = count_band(found, wanted, self.num_classes, self.width)
            self.counts += torch.from_numpy(counts).to(self.counts.device)

    def compute(self) -> dict[str, float]:
        """Return the mean over the classes in [0, 1]; NaN without a class."""
        shared, united = self.counts.cpu().double()
        return {"boundary_iou": float((shared / united).nanmean())}
