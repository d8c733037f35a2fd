"""Base class of all detectors, and the selection of detections among candidates."""

from abc import ABC
from typing import Any, NamedTuple, TypedDict

from torch import Tensor

from lit_cv.models.backbone_network import BackboneNetwork
from lit_cv.models.images import ImageBatch
from lit_cv.models.network import known_size
from lit_cv.ops.boxes import grouped_nms
from lit_cv.ops.limits import at_least, fractions

SMALLEST_SIDE = 1e-2  # pixels; clipping reduces boxes outside the image to smaller ones


class Detection(TypedDict):
    """The detections of one image.

    Attributes:
        boxes: float32 (M, 4), ``x1, y1, x2, y2`` in pixels of the input image.
        scores: float32 (M,) in [0, 1], descending.
        labels: int64 (M,), 1..C.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Keep(NamedTuple):
    """Thresholds that candidates must pass to become detections, see ``Detector``."""

    score_threshold: float
    nms_threshold: float
    detections_per_image: int


class Detector(BackboneNetwork, ABC):
    """A network that detects objects. ``predict`` returns a ``Detection`` for each image.

    A target has ``boxes`` float32 (N, 4) ``x1, y1, x2, y2`` in pixels (x2 > x1, y2 > y1) and ``labels`` int64 (N,) in
    1..C. N may be 0.

    Attributes:
        num_classes: Number of classes with the background (label 0).
        keep: Thresholds and maximum number of detections.

    Args:
        num_classes: Number of classes with the background; null in an experiment takes it from the data.
        score_threshold: Detections whose score is not above this are removed.
        nms_threshold: If two detections of one class have an IoU above this, the one with the lower score is removed.
        detections_per_image: Maximum number of detections per image.
        options: Arguments of ``BackboneNetwork``.
    """

    def __init__(
        self,
        num_classes: int | None,
        *,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        detections_per_image: int = 100,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.num_classes = known_size("num_classes", num_classes)
        fractions(score_threshold=score_threshold, nms_threshold=nms_threshold)
        at_least(1, detections_per_image=detections_per_image)
        self.keep = Keep(score_threshold, nms_threshold, detections_per_image)


def keep_best(boxes: Tensor, scores: Tensor, labels: Tensor, keep: Keep) -> Detection:
    """Select the detections among boxes (N, 4) of one image, each with one score (N,) and one label (N,)."""
    usable = (scores > keep.score_threshold).nonzero()[:, 0]
    boxes, scores, labels = boxes[usable], scores[usable], labels[usable]
    kept = grouped_nms(boxes, scores, labels, keep.nms_threshold)[: keep.detections_per_image]
    return Detection(boxes=boxes[kept], scores=scores[kept], labels=labels[kept])


def best_of_regions(boxes: Tensor, scores: Tensor, keep: Keep) -> Detection:
    """Select the detections among regions of one image. A region may be detected as objects of several classes.

    Args:
        boxes: float32 (K, C, 4), one box for each class, or (K, 1, 4), one box for all classes.
        scores: float32 (K, C), without the background.
        keep: Thresholds and maximum number of detections.
    """
    usable = (scores > keep.score_threshold) & (boxes[..., 2:] - boxes[..., :2] >= SMALLEST_SIDE).all(-1)
    region, column = usable.nonzero(as_tuple=True)
    boxes = boxes.expand(*scores.shape, 4)
    return keep_best(boxes[region, column], scores[region, column], column + 1, keep)


def restore(detections: list[Detection], batch: ImageBatch) -> list[Detection]:
    """Scale detections from pixels of the resized images to pixels of the input images."""
    for detection, scale in zip(detections, batch.scales(), strict=True):
        detection["boxes"] = detection["boxes"] / scale
    return detections
