"""The contract of every detector: boxes, labels and scores."""

from abc import ABC
from typing import TypedDict

from torch import Tensor

from lit_cv.models.network import Network


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
