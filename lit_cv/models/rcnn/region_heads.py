"""Heads that turn a pooled region into a feature vector: two new layers, or the end of the classification network."""

from torch import nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from lit_cv.models.backbones.classifier_ends import POOLED

FINE_POOLED = 14  # the same for masks and keypoints


def mlp_head(channels: int, features: int) -> tuple[nn.Module, int]:
    """Build two fully connected layers with random weights (FPN, Lin et al. 2017, section 4.2).

    Returns:
        A module that maps pooled regions (K, ``channels``, 7, 7) to (K, D), and D.
    """
    return TwoMLPHead(channels * POOLED**2, features), features


def shared_stage(box_head: nn.Module) -> nn.Module | None:
    """Return the stage of a ResNet at the beginning of a head, or None.

    The heads of masks and keypoints share it (Mask R-CNN, He et al. 2017, Figure 4, left).
    """
    if isinstance(box_head, nn.Sequential) and isinstance(box_head[1], nn.AdaptiveAvgPool2d):
        return box_head[0]
    return None
