"""Accuracy of classifying and localizing the single object of an image."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_cv.metrics.facts import ERROR, SHARE, Fact
from lit_cv.ops.boxes import pairwise_iou

# IoU is summed in integer multiples of 2^-32: a sum of floats depends on the order, thus on the number of processes.
PARTS = 2**32


class LocalizationAccuracy(Metric):
    """Accuracy of class and box for one object per image.

    Sources: Russakovsky et al. 2015, section 4.2; Simonyan & Zisserman 2014, appendix A.

    ``compute`` returns floats in [0, 1], NaN before the first image:

    * ``loc_accuracy``: the share of images whose most probable class is right and whose box for it has an IoU of at
      least ``iou_threshold`` with the target;
    * ``loc_accuracy_top5``: the share of images for which this holds for one of the five most probable classes;
    * ``gt_class_error``: 1 - the share of images whose box for the true class, at any rank, has an IoU of at least
      ``iou_threshold`` (appendix A.2 of the second paper);
    * ``class_accuracy``: the share of images whose most probable class is right;
    * ``mean_iou``: the mean IoU of the most probable class's box with the target, for right and wrong classes,
      to 10 digits.

    The states are sums of integers over images, so the result is bit-identical for any number of processes, provided
    that each image is seen once.

    Args:
        iou_threshold: Minimum IoU, in (0, 1].

    Attributes:
        FACTS: Unit and direction of each number of ``compute``.
    """

    FACTS: ClassVar[dict[str, Fact]] = {
        "loc_accuracy": SHARE,
        "loc_accuracy_top5": SHARE,
        "gt_class_error": ERROR,
        "class_accuracy": SHARE,
        "mean_iou": SHARE,
    }

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    sums: Tensor

    def __init__(self, iou_threshold: float = 0.5) -> None:
        super().__init__()
        self.iou_threshold = iou_threshold
        # Images; right in top class and box, one of five, box of the true class, top class; sum of IoU.
        self.add_state("sums", torch.zeros(6, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]]) -> None:
        """Count the images of one batch.

        Args:
            preds: Per image ``boxes`` (C, 4) xyxy in pixels and ``labels`` (C,), every class once, in descending order
                of probability.
            targets: Per image ``boxes`` (1, 4) xyxy in pixels and ``labels`` (1,).

        Raises:
            ValueError: If the batches differ in length, a target does not have exactly one object, the class of a
                target is not among the predicted labels exactly once, or a box is not finite.
        """
        if len(preds) != len(targets):
            raise ValueError(f"{len(preds)} predictions for {len(targets)} targets: one of each per image is needed")
        if any(len(target["labels"]) != 1 for target in targets):
            raise ValueError("a target has another number of objects than one")
        if not targets:
            return
        labels = torch.stack([pred["labels"] for pred in preds])
        right = labels == torch.stack([target["labels"] for target in targets])
        overlap = torch.stack(
            [pairwise_iou(target["boxes"], pred["boxes"])[0] for pred, target in zip(preds, targets, strict=True)]
        )
        if not bool((right.sum(dim=1) == 1).all()):
            raise ValueError("the class of a target is not among the labels of its prediction exactly once")
        if not bool(overlap.isfinite().all()):
            raise ValueError("a box of a prediction or target is not finite")
        found = right & (overlap >= self.iou_threshold)
        columns = (torch.ones_like(right[:, 0]), found[:, 0], found[:, :5].any(dim=1), found.any(dim=1), right[:, 0])
        counts = [column.sum() for column in columns]
        parts = (overlap[:, 0].double() * PARTS).round().long().sum()
        self.sums += torch.stack([*counts, parts]).to(self.sums.device)

    def compute(self) -> dict[str, float]:
        """Return the shares over all images since the last reset, over all processes."""
        images, *sums = self.sums.tolist()
        top, top5, true_class, named, parts = (total / images if images else float("nan") for total in sums)
        return {
            "loc_accuracy": top,
            "loc_accuracy_top5": top5,
            "gt_class_error": 1 - true_class,
            "class_accuracy": named,
            "mean_iou": parts / PARTS,
        }
