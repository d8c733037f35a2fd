"""Pooling of regions of interest from one feature map or a feature pyramid."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align, roi_pool

from lit_cv.ops import roi_cpu
from lit_cv.ops.roi_cpu import SAMPLES

RoIOp = Literal["align", "align_half_pixel", "pool", "bilinear"]


def pool_rois(maps: list[Tensor], strides: list[int], rois: Tensor, size: int, op: RoIOp = "align") -> Tensor:
    """Pool each region from the pyramid level that fits its size.

    On CPU, all but ``bilinear`` use ``roi_cpu``, which matches the results of torchvision's kernels in a fraction of
    their time (``benchmarks/roi_ops.py``). Other devices use torchvision's kernels.

    Args:
        maps: Feature maps (B, C, H, W), finest first; a single map for a network without a pyramid.
        strides: Image pixels per cell of each map, powers of two.
        rois: float32 (K, 5): index of the image in the batch, then ``x1, y1, x2, y2`` in image pixels.
        size: Height and width of the pooled result.
        op: ``align`` (Mask R-CNN, He et al. 2017, section 3), as in torchvision's detectors, which put the center of
            cell 0 at 0; ``align_half_pixel`` puts it at 0.5, where it is, as Detectron2 does (torchvision's
            ``aligned=True``); ``pool`` (Fast R-CNN, Girshick 2015, section 2.1); or ``bilinear``, see ``sample_grid``.

    Returns:
        (K, C, size, size), in the order of ``rois``.
    """
    levels = pyramid_levels(rois[:, 1:], strides)
    exported = torch.compiler.is_exporting()
    traced = torch.compiler.is_compiling()  # tracers cannot see into the compiled loops of ``roi_cpu.max_pool``
    aligned, half_pixel = op.startswith("align"), op == "align_half_pixel"
    if rois.device.type == "cpu" and not exported and (aligned or (op == "pool" and not traced)):
        cells = roi_cpu.find_cells(maps, strides, rois, levels)
        on_cpu = roi_cpu.align(cells, size, half_pixel) if aligned else roi_cpu.max_pool(cells, size)
        return on_cpu.to(maps[0].dtype)
    kernel = roi_align if aligned else {"pool": roi_pool, "bilinear": sample_grid}[op]
    options = {"sampling_ratio": SAMPLES, "aligned": half_pixel} if aligned else {}
    if len(maps) == 1:
        pooled: Tensor = kernel(maps[0], rois, size, 1 / strides[0], **options)
        return pooled
    if exported:  # the number of regions on each level is not known
        own = [(levels == level).nonzero()[:, 0] for level in range(len(maps))]
        order, sorted_rois = torch.cat(own), [rois[index] for index in own]
    else:
        order = levels.argsort(stable=True)
        counts = (levels[:, None] == torch.arange(len(maps), device=levels.device)).sum(dim=0).tolist()
        sorted_rois = list(torch.split(rois[order], counts))
    parts = [
        kernel(features, part, size, 1 / stride, **options)
        for features, stride, part in zip(maps, strides, sorted_rois, strict=True)
    ]
    return torch.cat(parts)[order.argsort()]


def sample_grid(features: Tensor, rois: Tensor, size: int, scale: float) -> Tensor:
    """Interpolate a map at a regular grid of points that spans each region from edge to edge.

    DenseCap's bilinear interpolation (Johnson et al. 2016, section 3.2; Jaderberg et al. 2015, eq. 5). The result is
    also differentiable with respect to the regions. Points outside the map are clamped to its edge.

    Args:
        features: (B, C, H, W).
        rois: float32 (K, 5), see ``pool_rois``.
        size: Number of points along each side of the grid.
        scale: Map cells per image pixel.

    Returns:
        (K, C, size, size), in the dtype of ``features``.
    """
    images, channels, height, width = features.shape
    share = torch.linspace(0, 1, size, device=rois.device)
    x, y = (
        ((rois[:, [low]] + share * (rois[:, [low + 2]] - rois[:, [low]])) * scale - 0.5).clamp(0, cells - 1)
        for low, cells in ((1, width), (2, height))
    )
    y = y + rois[:, :1] * height  # all images are stacked vertically, so one call samples them all
    x, y = (2 * x + 1) / width - 1, (2 * y + 1) / (images * height) - 1
    grid = torch.stack((x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)), dim=-1)
    stacked = features.to(torch.promote_types(features.dtype, rois.dtype)).transpose(0, 1)
    stacked = stacked.reshape(1, channels, images * height, width)
    points = functional.grid_sample(stacked, grid.view(1, -1, size, 2), padding_mode="border", align_corners=False)
    return points.view(channels, -1, size, size).transpose(0, 1).to(features.dtype)


def as_rois(boxes: list[Tensor]) -> Tensor:
    """Join the boxes (N, 4) of all images of a batch into regions (K, 5) with the image index first."""
    return torch.cat([functional.pad(part, (1, 0), value=image) for image, part in enumerate(boxes)])


def pyramid_levels(boxes: Tensor, strides: list[int]) -> Tensor:
    """Choose the pyramid level of each box by its area: 224 x 224 maps to stride 16 (FPN, Lin et al. 2017, eq. 1).

    Args:
        boxes: float32 (K, 4).
        strides: Strides of the maps, finest first.

    Returns:
        int64 (K,) indices into ``strides``.
    """
    first, last = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    levels = torch.floor(4 + torch.log2(sides / 224) + 1e-6)
    return levels.clamp(first, last).long() - first
