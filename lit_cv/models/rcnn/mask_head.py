"""The mask branch of Mask R-CNN (He et al. 2017, section 3)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from lit_cv.errors import UserError
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.limits import at_least
from lit_cv.ops.mask_runs import MaskRuns
from lit_cv.ops.masks import crop_masks

MaskHeadKind = Literal["fcn", "mlp"]
MaskLoss = Literal["sigmoid", "softmax"]
WIDTH, LAYERS = 256, 4
HIDDEN = 1024  # width of the two layers of ``mlp``


def mask_layers(
    kind: MaskHeadKind,
    channels: int,
    size: int,
    num_classes: int,
    on_stage: bool,
    widths: Sequence[int] | None = None,
) -> tuple[nn.Module, nn.Module]:
    """Build the head and the predictor, from regions (K, channels, S, S) to logits (K, classes, 2 S, 2 S).

    Args:
        kind: ``fcn``: convolutions, which keep the spatial layout (Figure 4). ``mlp``: two fully connected layers
            (Table 2e).
        channels: Channels of the regions.
        size: Height and width S of the regions.
        num_classes: Number of classes with the background. The mask of the background is unused if the masks of the
            classes are independent.
        on_stage: Whether the regions come from the last stage of a ResNet, which replaces the four convolutions of
            ``fcn`` (Figure 4, left).
        widths: Channels of each convolution of ``fcn``, >= 1, 256 for each of four by default. The predictor has the
            channels of the last one.

    Raises:
        UserError: ``widths`` is empty, or there are no such convolutions.
    """
    if widths is not None and (kind == "mlp" or on_stage):
        replaced_by = "mask_head: mlp" if kind == "mlp" else "head: backbone"
        raise UserError(
            f"mask_widths: {list(widths)} has no effect with {replaced_by}, without these convolutions; leave it out."
        )
    if kind == "fcn":
        widths = checked_widths("mask_widths", (WIDTH,) * LAYERS if widths is None else widths)
        before, last = ((), channels) if on_stage else (widths, widths[-1])
        return MaskRCNNHeads(channels, before, dilation=1), MaskRCNNPredictor(last, widths[-1], num_classes)
    inputs, cells = channels * size**2, 2 * size
    head = nn.Sequential(nn.Flatten(), nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
    return head, nn.Sequential(nn.Linear(HIDDEN, num_classes * cells**2), nn.Unflatten(1, (num_classes, cells, cells)))


def checked_widths(name: str, widths: Sequence[int]) -> tuple[int, ...]:
    """Return the channels of the convolutions of a branch.

    Raises:
        UserError: There are none, or one is below 1.
    """
    if not widths:
        raise UserError(f"{name}: [] leaves the branch without a convolution; give the channels of at least one.")
    at_least(1, **{name: widths})
    return tuple(widths)


def mask_targets(masks: list[MaskRuns], objects: list[Tensor], boxes: list[Tensor], size: int) -> Tensor:
    """Cut the target of each region out of the mask of its object.

    Args:
        masks: The masks of each image.
        objects: int64 (K,) for each image, the object of each region.
        boxes: float32 (K, 4) for each image, the regions in pixels of the masks.
        size: Height and width M of a target.

    Returns:
        float32 (K, M, M) in [0, 1], for the regions of all images, image by image.
    """
    parts = zip(masks, objects, boxes, strict=True)
    return torch.cat([crop_masks(own, index, regions, size) for own, index, regions in parts])


def mask_loss(logits: Tensor, targets: Tensor, classes: Tensor, kind: MaskLoss) -> Tensor:
    """Compute the mean loss over the pixels of positive regions (section 3 and Table 2b).

    Args:
        logits: float32 (K, classes, M, M); K may be 0, which gives 0.
        targets: float32 (K, M, M) in [0, 1].
        classes: int64 (K,), 1..C.
        kind: ``sigmoid``: binary cross-entropy of only the mask of the region's class, so classes do not compete.
            ``softmax``: cross-entropy over the classes; pixels outside the mask are background.
    """
    count = shared_count(classes > 0) * targets.shape[1] * targets.shape[2]
    if kind == "sigmoid":
        own = logits[torch.arange(len(classes), device=classes.device), classes]
        return F.binary_cross_entropy_with_logits(own, targets, reduction="sum") / count
    inside = F.one_hot(classes, logits.shape[1])[:, :, None, None] * targets[:, None]
    outside = F.pad(1 - targets[:, None], (0, 0, 0, 0, 0, logits.shape[1] - 1))
    return F.cross_entropy(logits, inside + outside, reduction="sum") / count


def mask_probabilities(logits: Tensor, classes: Tensor, kind: MaskLoss) -> Tensor:
    """Return the mask of each region's class, float32 (K, M, M) in [0, 1]."""
    probabilities = logits.sigmoid() if kind == "sigmoid" else logits.softmax(dim=1)
    return probabilities[torch.arange(classes.shape[0], device=classes.device), classes]
