"""Crop regions of an image and warp them to one size (R-CNN, Girshick et al. 2014, section 2.1 and appendix A)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def warp_regions(image: Tensor, boxes: Tensor, size: int, padding: int) -> Tensor:
    """Warp all regions anisotropically in one call, with bilinear interpolation.

    Args:
        image: float32 (C, H, W), normalized; pixels outside the image become 0, the mean.
        boxes: float32 (K, 4), ``x1, y1, x2, y2`` in image pixels.
        size: Height and width of the results.
        padding: Context pixels on each side of the box in the results; ``2 * padding < size``.

    Returns:
        float32 (K, C, size, size). The box fills the square from ``padding`` to ``size - padding``.
    """
    low, high = boxes.float().view(-1, 2, 2, 1).unbind(dim=1)
    half = (high - low) / 2 * (size / (size - 2 * padding))
    steps = (2 * torch.arange(size, device=boxes.device) + 1) / size - 1
    points = (low + high) / 2 + half * steps  # (K, 2, size): column x, row y
    extent = boxes.new_tensor([image.shape[-1], image.shape[-2]], dtype=torch.float32)[:, None]
    inside = (points >= 0) & (points <= extent)
    columns, rows = (2 * points / extent - 1).unbind(dim=1)
    shape = (len(boxes), size, size)
    # All results form one tall grid; a batch of grids would need a copy of the image for each region.
    field = torch.stack((columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)), dim=-1)
    warped = F.grid_sample(image[None], field.view(1, -1, size, 2), padding_mode="border", align_corners=False)
    visible = inside[:, 1, :, None] & inside[:, 0, None, :]
    return (warped.view(len(image), *shape) * visible).transpose(0, 1)
