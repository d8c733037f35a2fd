"""Conversion of masks between box and image coordinates: crop training targets and paste predictions."""

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import roi_align

from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks, select_masks

PIXELS_AT_ONCE = 2**24  # limits the memory of pasted masks


def crop_masks(masks: MaskRuns, index: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Crop masks to boxes and resize them by averaging the pixels of each cell, as torchvision's Mask R-CNN does.

    Args:
        masks: N masks of one image.
        index: int64 (K,), index of the mask of each box.
        boxes: float32 (K, 4), ``x1, y1, x2, y2`` in pixels of the mask.
        size: Height and width of the results.

    Returns:
        float32 (K, size, size) in [0, 1].
    """
    used, place = torch.unique(index, return_inverse=True)
    dense = decode_masks(select_masks(masks, used))[:, None].float()
    crops: Tensor = roi_align(dense, torch.cat((place[:, None].to(boxes.dtype), boxes), dim=1), size)
    return crops[:, 0]


def paste_masks(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> MaskRuns:
    """Paste predicted masks into their boxes in the image: bilinear between cell centers, 0 outside.

    A pixel belongs to the mask if the interpolated value at its center is at least 0.5 (He et al. 2017, section 3.1).
    Interpolation along each axis is linear in the cells, so each mask takes two matrix products.

    Args:
        probabilities: float32 (K, M, M), in [0, 1].
        boxes: float32 (K, 4), ``x1, y1, x2, y2`` in pixels of the image, with positive area.
        size: Height and width of the image.
    """
    height, width = size
    step = max(1, PIXELS_AT_ONCE // (height * width))
    parts = [
        encode_masks(_paste(some, around, height, width) >= 0.5)
        for some, around in zip(torch.split(probabilities, step), torch.split(boxes, step), strict=True)
    ]
    return MaskRuns(torch.cat([part.runs for part in parts]), torch.cat([part.lengths for part in parts]), size)


def paste_dense(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Paste like ``paste_masks`` all at once, to masks uint8 (K, H, W) with values 0 and 1."""
    return (_paste(probabilities, boxes, *size) >= 0.5).to(torch.uint8)


def paste_rounded(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> MaskRuns:
    """Paste masks as torchvision does, into boxes of whole pixels; see ``paste_masks``."""
    if not len(boxes):
        return paste_masks(probabilities, boxes, size)
    return encode_masks(paste_masks_in_image(probabilities[:, None], boxes, size)[:, 0] >= 0.5)


def _paste(probabilities: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    cells = probabilities.shape[-1]
    columns = _weights(boxes[:, 0], boxes[:, 2], width, cells)
    rows = _weights(boxes[:, 1], boxes[:, 3], height, cells)
    # Runs are column-major: with this memory layout ``encode_masks`` transposes without a copy.
    return (columns @ probabilities.transpose(1, 2) @ rows.transpose(1, 2)).transpose(1, 2)


def _weights(low: Tensor, high: Tensor, length: int, cells: int) -> Tensor:
    """Return weights (K, length, cells) of the cells between ``low`` and ``high`` (K,) at each pixel center."""
    centers = torch.arange(length, device=low.device) + 0.5
    place = (centers - low[:, None]) / (high - low)[:, None] * cells - 0.5
    return (1 - (place[..., None] - torch.arange(cells, device=low.device)).abs()).clamp(min=0)
