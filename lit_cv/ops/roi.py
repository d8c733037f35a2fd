"""Pooling of regions of interest from one feature map or a pyramid."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align, roi_pool

from lit_cv.ops import roi_cpu
from lit_cv.ops.roi_cpu import SAMPLES

RoIOp = Literal["align", "pool"]


def pool_rois(maps: list[Tensor], strides: list[int], rois: Tensor, size: int, op: RoIOp = "align") -> Tensor:
    """Pool each region from the map that fits its size.

    On CPU both are those of ``roi_cpu``, which give the results of torchvision's kernels in a fraction of their time
    (``benchmarks/roi_ops.py``); elsewhere they are torchvision's.

    Args:
        maps: Feature maps (B, C, H, W), finest first; one map for a network without a pyramid.
        strides: Pixels of the image between two cells of each map, powers of two.
        rois: float32 (K, 5): the index of the image in the batch, then ``x1, y1, x2, y2`` in its pixels.
        size: Height and width of the result.
        op: ``align`` (Mask R-CNN, He et al. 2017, section 3) or ``pool`` (Fast R-CNN, Girshick 2015, section 2.1).

    Returns:
        (K, C, size, size), in the order of ``rois``.
    """
    levels = pyramid_levels(rois[:, 1:], strides)
    if rois.device.type == "cpu":
        cells = roi_cpu.find_cells(maps, strides, rois, levels)
        on_cpu = roi_cpu.align(cells, size) if op == "align" else roi_cpu.max_pool(cells, size)
        return on_cpu.to(maps[0].dtype)
    kernel = roi_align if op == "align" else roi_pool
    options = {"sampling_ratio": SAMPLES} if op == "align" else {}
    if len(maps) == 1:
        pooled: Tensor = kernel(maps[0], rois, size, 1 / strides[0], **options)
        return pooled
    order = levels.argsort(stable=True)
    counts = (levels[:, None] == torch.arange(len(maps), device=levels.device)).sum(dim=0).tolist()
    parts = [
        kernel(features, part, size, 1 / stride, **options)
        for features, stride, part in zip(maps, strides, torch.split(rois[order], counts), strict=True)
    ]
    return torch.cat(parts)[order.argsort()]


def as_rois(boxes: list[Tensor]) -> Tensor:
    """Join the boxes (N, 4) of each image of a batch to regions (K, 5), with the index of the image first."""
    return torch.cat([functional.pad(part, (1, 0), value=image) for image, part in enumerate(boxes)])


def pyramid_levels(boxes: Tensor, strides: list[int]) -> Tensor:
    """Choose the map of each box by its area: 224 x 224 pixels belong to stride 16 (FPN, Lin et al. 2017, eq. 1).

    Args:
        boxes: float32 (K, 4).
        strides: Of the maps, finest first.

    Returns:
        int64 (K,) indices into ``strides``.
    """
    first, last = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    levels = torch.floor(4 + torch.log2(sides / 224) + 1e-6)
    return levels.clamp(first, last).long() - first
