"""Cut regions out of an image and warp them to one size (R-CNN, Girshick et al. 2014, section 2.1 and appendix A)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def warp_regions(image: Tensor, boxes: Tensor, size: int, padding: int) -> Tensor:
    """Warp regions anisotropically, all at once; pixels are interpolated bilinearly.

    Args:
        image: float32 (C, H, W), normalised: what lies outside the image becomes 0, the mean.
        boxes: float32 (K, 4), ``x1, y1, x2, y2`` in its pixels.
        size: Height and width of the results.
        padding: Pixels of context around the box in the results, on each side; ``2 * padding < size``.

    Returns:
        float32 (K, C, size, size). The box itself fills the square from ``padding`` to ``size - padding``.
    """
    low, high = boxes.float().view(-1, 2, 2, 1).unbind(dim=1)
    half = (high - low) / 2 * (size / (size - 2 * padding))
    steps = (2 * torch.arange(size, device=boxes.device) + 1) / size - 1
    points = (low + high) / 2 + half * steps  # (K, 2, size): x of the columns, y of the rows
    extent = boxes.new_tensor([image.shape[-1], image.shape[-2]], dtype=torch.float32)[:, None]
    inside = (points >= 0) & (points <= extent)
    columns, rows = (2 * points / extent - 1).unbind(dim=1)
    shape = (len(boxes), size, size)
    # One image as high as all results together: as a batch the image itself would be repeated for each of them.
    field = torch.stack((columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)), dim=-1)
    warped = F.grid_sample(image[None], field.view(1, -1, size, 2), padding_mode="border", align_corners=False)
    visible = inside[:, 1, :, None] & inside[:, 0, None, :]
    return (warped.view(len(image), *shape) * visible).transpose(0, 1)
