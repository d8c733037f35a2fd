"""Masks between a box and its image: cutting targets out of whole masks, and pasting predictions into images."""

import torch
from torch import Tensor
from torchvision.ops import roi_align

from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks, select_masks

PIXELS_AT_ONCE = 2**24  # of pasted masks; bounds their memory


def crop_masks(masks: MaskRuns, index: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut masks out and bring them to one size, averaged over the pixels of a cell, as torchvision's Mask R-CNN does.

    Args:
        masks: N masks of one image.
        index: int64 (K,), the mask of each box.
        boxes: float32 (K, 4), ``x1, y1, x2, y2`` in pixels of the masks.
        size: Height and width of the results.

    Returns:
        float32 (K, size, size) in [0, 1].
    """
    used, place = torch.unique(index, return_inverse=True)
    dense = decode_masks(select_masks(masks, used))[:, None].float()
    crops: Tensor = roi_align(dense, torch.cat((place[:, None].to(boxes.dtype), boxes), dim=1), size)
    return crops[:, 0]


def paste_masks(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> MaskRuns:
    """Put predicted masks into their boxes in the image: bilinear between the centres of their cells, 0 outside.

    A pixel belongs to the mask where the result, at its centre, is at least 0.5 (He et al. 2017, section 3.1).
    Interpolation along a side is linear in the cells, so that each mask takes two products of matrices.

    Args:
        probabilities: float32 (K, M, M), in [0, 1].
        boxes: float32 (K, 4), ``x1, y1, x2, y2`` in pixels of the image, with an area.
        size: Height and width of the image.
    """
    height, width = size
    step = max(1, PIXELS_AT_ONCE // (height * width))
    parts = [
        encode_masks(_paste(some, around, height, width) >= 0.5)
        for some, around in zip(torch.split(probabilities, step), torch.split(boxes, step), strict=True)
    ]
    return MaskRuns(torch.cat([part.runs for part in parts]), torch.cat([part.lengths for part in parts]), size)


def _paste(probabilities: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    cells = probabilities.shape[-1]
    columns = _weights(boxes[:, 0], boxes[:, 2], width, cells)
    rows = _weights(boxes[:, 1], boxes[:, 3], height, cells)
    # Column by column, as the runs are counted: transposed it costs nothing there.
    return (columns @ probabilities.transpose(1, 2) @ rows.transpose(1, 2)).transpose(1, 2)


def _weights(low: Tensor, high: Tensor, length: int, cells: int) -> Tensor:
    """Weights (K, length, cells) of the cells between ``low`` and ``high`` (K,) at the centre of each pixel."""
    centres = torch.arange(length, device=low.device) + 0.5
    place = (centres - low[:, None]) / (high - low)[:, None] * cells - 0.5
    return (1 - (place[..., None] - torch.arange(cells, device=low.device)).abs()).clamp(min=0)
