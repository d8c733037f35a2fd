"""The interface of networks that find instances: boxes with masks, with keypoints, or with both."""

from abc import ABC
from typing import Literal

from torch import Tensor

from lit_cv.models.detection.detector import Detection
from lit_cv.models.network import Network

Branch = Literal["mask", "keypoint"]


class Instance(Detection, total=False):
    """A ``Detection`` with masks and keypoints of each object.

    Attributes:
        mask_runs: int64 (R,), the masks as ``lit_cv.ops.mask_runs.MaskRuns``.
        mask_lengths: int64 (M,), see there.
        mask_size: int64 (2,), height and width of the image.
        masks: uint8 (M, H, W) with values 0 and 1; of an exported network, instead of the runs.
        keypoints: float32 (M, K, 3), ``x, y`` in pixels of the input image and the logit of the joint. As for boxes,
            (0, 0) is the corner of the image.
    """

    mask_runs: Tensor
    mask_lengths: Tensor
    mask_size: Tensor
    masks: Tensor
    keypoints: Tensor


class InstanceNetwork(Network, ABC):
    """A network that finds instances. ``predict`` returns an ``Instance`` for each image.

    Attributes:
        heads: What it finds in addition to boxes.
        num_keypoints: Number of joints, with the head ``keypoint``.
    """

    heads: tuple[Branch, ...]
    num_keypoints: int
