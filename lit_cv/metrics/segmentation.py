"""Pixel accuracy and intersection over union of class masks (Long et al. 2015, §5)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_cv.metrics.facts import SHARE, Fact

_VALUES = 256  # number of values of a uint8 mask


class SegmentationMetrics(Metric):
    """Compute the four measures of Long et al. 2015 (§5, Metrics) from one confusion matrix over all images.

    With n_ij the number of pixels of class i that are predicted as class j, and t_i = Σ_j n_ij:

    * ``pixel_accuracy`` = Σ_i n_ii / Σ_i t_i
    * ``mean_accuracy`` = mean over i of n_ii / t_i
    * ``iou_per_class`` = n_ii / (t_i + Σ_j n_ji − n_ii), and ``miou`` its mean over i
    * ``fw_iou`` = Σ_i t_i iou_i / Σ_i t_i

    A class that occurs neither in a target nor in a prediction has no IoU (NaN) and is excluded from ``miou``. A class
    that occurs in no target has no accuracy and is excluded from ``mean_accuracy``, as in the authors' evaluation. A
    mean over no class is NaN. Void pixels are not counted, regardless of their prediction.

    Counts are integers. The sum over ranks is therefore exact, and the result does not depend on the batches or on the
    distribution of the images over ranks.

    Args:
        num_classes: Number of classes including the background, at most 256.
        ignore_index: Label of void pixels.

    Attributes:
        FACTS: Unit and direction of each float of ``compute``.
    """

    FACTS: ClassVar[dict[str, Fact]] = dict.fromkeys(("pixel_accuracy", "mean_accuracy", "miou", "fw_iou"), SHARE)

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    confusion: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        super().__init__()
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Count the pixels of one batch.

        Args:
            preds: Per image ``mask`` uint8 (H, W), 0..num_classes - 1.
            targets: Per image ``mask`` uint8 (H, W), 0..num_classes - 1 or ``ignore_index``, and ``image_id`` int64
                scalar.

        Raises:
            ValueError: If the batches differ in length, a prediction differs in size from its target, or a label is out
                of range.
        """
        if len(preds) != len(targets):
            raise ValueError(f"{len(preds)} predictions for {len(targets)} targets: one of each per image is needed")
        for pred, target in zip(preds, targets, strict=True):
            _check_layout(pred["mask"], target["mask"], target["image_id"])
        if not preds:
            return
        device = self.confusion.device
        found = torch.cat([pred["mask"].flatten() for pred in preds]).to(device)
        wanted = torch.cat([target["mask"].flatten() for target in targets]).to(device)
        counts = self._count(wanted, found)
        # The target or the prediction has pixels that are neither void nor of a valid class.
        if int(found.max()) >= self.num_classes or counts[self.num_classes :].any():
            self._refuse_labels(preds, targets)
        self.confusion += counts[: self.num_classes]

    def compute(self) -> dict[str, float | Tensor]:
        """Return the measures of all images since the last reset, on all ranks: floats in [0, 1] or NaN.

        ``iou_per_class`` is float64 (num_classes,) on the CPU.
        """
        confusion = self.confusion.cpu().double()
        hits, wanted = confusion.diagonal(), confusion.sum(dim=1)
        iou = hits / (wanted + confusion.sum(dim=0) - hits)  # 0 / 0 is nan
        return {
            "pixel_accuracy": float(hits.sum() / wanted.sum()),
            "mean_accuracy": float((hits / wanted).nanmean()),
            "miou": float(iou.nanmean()),
            "fw_iou": float((wanted * iou).nansum() / wanted.sum()),
            "iou_per_class": iou,
        }

    def _count(self, wanted: Tensor, found: Tensor) -> Tensor:
        """Count pixels by label and prediction: int64 (256, num_classes), with the row of void set to 0."""
        # int16 holds every pair for up to 127 classes, and bincount on int16 takes half the time.
        dtype = torch.int16 if _VALUES * self.num_classes < 2**15 else torch.int32
        pairs = wanted.to(dtype).mul_(self.num_classes).add_(found)
        counts = torch.bincount(pairs, minlength=_VALUES * self.num_classes)
        counts = counts[: _VALUES * self.num_classes].view(_VALUES, self.num_classes)
        counts[self.ignore_index] = 0
        return counts

    def _refuse_labels(self, preds: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        for pred, target in zip(preds, targets, strict=True):
            labels = target["mask"][target["mask"] != self.ignore_index].flatten()
            for side, mask in (("prediction", pred["mask"].flatten()), ("target", labels)):
                wrong = mask[mask >= self.num_classes]
                if len(wrong):
                    raise ValueError(
                        f"image {int(target['image_id'])}: a {side} has label {int(wrong[0])}, "
                        f"but classes are 0..{self.num_classes - 1}"
                    )


def _check_layout(pred: Tensor, target: Tensor, image_id: Tensor) -> None:
    if pred.shape != target.shape or pred.dim() != 2:
        raise ValueError(f"image {int(image_id)}: a mask of {tuple(pred.shape)} for a target of {tuple(target.shape)}")
    if pred.dtype != torch.uint8 or target.dtype != torch.uint8:
        raise ValueError(f"image {int(image_id)}: masks are uint8, not {pred.dtype} and {target.dtype}")
