"""Heads that turn a pooled region into a feature vector: two new layers, or the end of the classification network."""

from typing import Literal

import torchvision
from torch import nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from lit_cv.errors import UserError
from lit_cv.models.backbones import RESNETS, VGG_LAYOUTS, Norm, load_weights, read_weights
from lit_cv.models.dropout import Dropout
from lit_cv.models.frozen_norm import freeze_batch_norm

Head = Literal["mlp", "backbone"]
POOLED = 7  # height and width of a pooled region
FINE_POOLED = 14  # the same for masks and keypoints
VGG_FEATURES = 4096


def mlp_head(channels: int, features: int) -> tuple[nn.Module, int]:
    """Build two fully connected layers with random weights (FPN, Lin et al. 2017, section 4.2).

    Returns:
        A module that maps pooled regions (K, ``channels``, 7, 7) to (K, D), and D.
    """
    return TwoMLPHead(channels * POOLED**2, features), features


def backbone_head(backbone: str, weights: str | None, norm: Norm) -> tuple[nn.Module, int]:
    """Build the layers that follow the map at stride 16 in the classification network, with its weights.

    VGG: fc6 and fc7 (Girshick 2015, section 2.2; Ren et al. 2015). ResNet: the last stage and its average pool
    (He et al. 2016, appendix A).

    Args:
        backbone: Name of a plain VGG or a ResNet.
        weights: As of the backbone: ``imagenet``, the path of a state dict, or None.
        norm: As of the backbone.

    Returns:
        A module that maps pooled regions (K, C, 7, 7) to (K, D), and D.

    Raises:
        UserError: The family has no such layers here, or the weights do not fit.
    """
    layers, prefix, features = _end_of(backbone)
    if weights is not None:
        load_weights(layers, read_weights(backbone, weights), prefix, source=weights)
    if norm == "frozen":
        freeze_batch_norm(layers)
    if backbone in VGG_LAYOUTS:
        return nn.Sequential(nn.Flatten(), layers), features
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), features


def shared_stage(box_head: nn.Module) -> nn.Module | None:
    """Return the stage of a ResNet that a head begins with; None: it has none.

    Masks and keypoints stand on it, too (Mask R-CNN, He et al. 2017, Figure 4, left).
    """
    if isinstance(box_head, nn.Sequential) and isinstance(box_head[1], nn.AdaptiveAvgPool2d):
        return box_head[0]
    return None


def _end_of(backbone: str) -> tuple[nn.Module, str, int]:
    """Return the last layers, the prefix of their keys in the network's state dict, and the length of their output."""
    if backbone in VGG_LAYOUTS:
        # Not torchvision's constructor: it would draw 120 million random weights twice.
        fc6, fc7 = nn.Linear(512 * POOLED**2, VGG_FEATURES), nn.Linear(VGG_FEATURES, VGG_FEATURES)
        return nn.Sequential(fc6, nn.ReLU(), Dropout(), fc7, nn.ReLU(), Dropout()), "classifier.", VGG_FEATURES
    if backbone in RESNETS:
        network = torchvision.models.get_model(backbone, weights=None)
        return network.layer4, "layer4.", network.fc.in_features
    raise UserError(f"head: backbone takes a VGG without batch norm or a ResNet, not {backbone!r}: use mlp.")
