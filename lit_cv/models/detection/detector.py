"""The contract of every detector (boxes, labels and scores), and the choice of detections among candidates."""

from abc import ABC
from typing import NamedTuple, TypedDict

from torch import Tensor

from lit_cv.models.images import ImageBatch
from lit_cv.models.network import Network
from lit_cv.ops.boxes import grouped_nms

SMALLEST_SIDE = 1e-2  # pixels; what is smaller is what clipping has left of a box outside the image


class Detection(TypedDict):
    """What a detector found in one image.

    Attributes:
        boxes: float32 (M, 4), ``x1, y1, x2, y2`` in pixels of the image as it was given.
        scores: float32 (M,) in [0, 1], descending.
        labels: int64 (M,), 1..C.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Detector(Network, ABC):
    """A network that finds objects; ``predict`` gives a ``Detection`` an image.

    A target has ``boxes`` float32 (N, 4) ``x1, y1, x2, y2`` in pixels (x2 > x1, y2 > y1) and ``labels`` int64 (N,) in
    1..C, where N may be 0.

    Attributes:
        num_classes: Number of classes with the background (label 0).
    """

    num_classes: int


class Keep(NamedTuple):
    """Which candidates become detections.

    Attributes:
        score_threshold: Those with a score that is not above go.
        nms_threshold: IoU above which the one with the lower score of the same class goes.
        detections_per_image: The best so many are kept.
    """

    score_threshold: float
    nms_threshold: float
    detections_per_image: int


def keep_best(boxes: Tensor, scores: Tensor, labels: Tensor, keep: Keep) -> Detection:
    """Choose detections among boxes (N, 4) of one image, each with one score (N,) and one label (N,)."""
    usable = scores > keep.score_threshold
    boxes, scores, labels = boxes[usable], scores[usable], labels[usable]
    kept = grouped_nms(boxes, scores, labels, keep.nms_threshold)[: keep.detections_per_image]
    return Detection(boxes=boxes[kept], scores=scores[kept], labels=labels[kept])


def best_of_regions(boxes: Tensor, scores: Tensor, keep: Keep) -> Detection:
    """Choose detections among regions of one image, each of which may be an object of every class.

    Args:
        boxes: float32 (K, C, 4), of each class; or (K, 1, 4), of all classes.
        scores: float32 (K, C), without the background.
        keep: Which are kept.
    """
    usable = (scores > keep.score_threshold) & (boxes[..., 2:] - boxes[..., :2] >= SMALLEST_SIDE).all(-1)
    labels = usable.nonzero()[:, 1] + 1
    return keep_best(boxes.expand(*scores.shape, 4)[usable], scores[usable], labels, keep)


def restore(detections: list[Detection], batch: ImageBatch) -> list[Detection]:
    """Bring detections from the pixels of the resized images to those of the images as they were given."""
    for detection, scale in zip(detections, batch.scales(), strict=True):
        detection["boxes"] = detection["boxes"] / scale
    return detections
