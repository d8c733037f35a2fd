"""Base class, anchors, candidate selection and NMS of detectors that predict at every cell of a feature pyramid."""

from typing import Any

import torch
from torch import Tensor

from lit_cv.models.backbones.necks import dense_pyramid
from lit_cv.models.detection.detector import Detection, Detector, Keep, keep_best, restore
from lit_cv.models.images import ImageBatch
from lit_cv.models.network import OnePassNetwork
from lit_cv.models.resizing import FittedImages
from lit_cv.ops.boxes import clip_boxes
from lit_cv.ops.limits import at_least

CANDIDATES = 1000  # maximum number of boxes of each level before NMS (Lin et al. 2017, section 4.1)


class DenseDetector(FittedImages, OnePassNetwork, Detector):
    """A detector that predicts at every cell of a feature pyramid.

    The stages of the backbone from stride 8 on are levels of the pyramid, and two more levels halve the last one. On a
    ResNet the levels have strides 8 to 128.

    Attributes:
        strides: Strides of the levels, finest first.

    Args:
        channels: Channels of the pyramid and of the head.
        options: Arguments of ``FittedImages`` and ``Detector``.
    """

    def __init__(self, *args: Any, channels: int = 256, **options: Any) -> None:
        super().__init__(*args, **options)
        at_least(1, channels=channels)
        self.backbone, self.strides = dense_pyramid(self.build_trunk(), self.trainable_layers, channels)


def best_candidates(scores: Tensor, counts: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Find the pairs of anchor and class with the highest scores on each level.

    Args:
        scores: float32 (B, A, C); a monotonic function of the scores, such as logits, gives the same pairs.
        counts: Number of anchors on each level, with sum A.

    Returns:
        Anchors int64 (B, K) in 0..A-1, labels int64 (B, K) in 1..C, and scores (B, K).
    """
    classes = scores.shape[2]
    values, places, start = [], [], 0
    for level in torch.split(scores, counts, dim=1):
        best = level.flatten(1).topk(torch.sym_min(CANDIDATES, level.shape[1] * classes), dim=1)
        values.append(best.values)
        places.append(best.indices + start * classes)
        start += level.shape[1]
    place = torch.cat(places, dim=1)
    return place // classes, place % classes + 1, torch.cat(values, dim=1)


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, batch: ImageBatch, keep: Keep) -> list[Detection]:
    """Clip candidates to their images and apply NMS.

    Args:
        boxes: float32 (B, K, 4), in pixels of the resized images.
        scores: float32 (B, K).
        labels: int64 (B, K).
        batch: The images.
        keep: Thresholds and maximum number of detections.

    Returns:
        The detections of each image, in pixels of the input image.
    """
    parts = zip(clip_boxes(boxes, batch.sizes), scores, labels, strict=True)
    return restore([keep_best(*candidates, keep) for candidates in parts], batch)
