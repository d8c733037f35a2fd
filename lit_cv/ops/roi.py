"""Pooling of regions of interest from one feature map or a pyramid."""

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torchvision.ops import roi_align, roi_pool

RoIOp = Literal["align", "pool"]

SAMPLES = 2  # RoIAlign reads 2 x 2 points in each bin
NEIGHBOURS = (2 * SAMPLES) ** 2  # and each point lies between four cells


def pool_rois(maps: list[Tensor], strides: list[int], rois: Tensor, size: int, op: RoIOp = "align") -> Tensor:
    """Pool each region from the map that fits its size.

    On CPU, ``align`` is a weighted gather that equals torchvision's kernel and takes a fraction of its time.

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
    if op == "align" and rois.device.type == "cpu":
        return _gather_align(maps, strides, rois, levels, size)
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


def _gather_align(maps: list[Tensor], strides: list[int], rois: Tensor, levels: Tensor, size: int) -> Tensor:
    """RoIAlign of all levels at once: every bin is a weighted sum of ``NEIGHBOURS`` rows of a table of all cells."""
    channels = maps[0].shape[1]
    table = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, channels) for level in maps]).float()
    heights, widths, cells = torch.tensor([(*level.shape[-2:], level[:, 0].numel()) for level in maps]).T
    height, width, start = heights[levels], widths[levels], (cells.cumsum(0) - cells)[levels]
    scale = 1 / torch.tensor(strides, dtype=torch.float32)[levels]
    rows, row_weights = _neighbours(rois[:, 2] * scale, rois[:, 4] * scale, height, size)
    columns, column_weights = _neighbours(rois[:, 1] * scale, rois[:, 3] * scale, width, size)
    origin = start + rois[:, 0].long() * height * width
    rows = origin[:, None, None] + rows * width[:, None, None]
    index = rows.int()[:, :, None, :, None] + columns.int()[:, None, :, None, :]
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    pooled: Tensor = _WeightedGather.apply(table, index.view(-1, NEIGHBOURS), weights.view(-1, NEIGHBOURS))
    return pooled.view(-1, size, size, channels).permute(0, 3, 1, 2).to(maps[0].dtype)


def _neighbours(low: Tensor, high: Tensor, cells: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Find the cells around the sampled points of each bin along one axis, and their weights, (K, bins, 2 * SAMPLES).

    Points more than one cell outside the map count as zero, as in torchvision; points near its edge lie on the edge.
    """
    cells = cells[:, None]
    length = (high - low).clamp(min=1)
    points = low[:, None] + (torch.arange(bins * SAMPLES) + 0.5) / SAMPLES * (length / bins)[:, None]
    inside = (points >= -1) & (points <= cells)
    points = torch.minimum(points.clamp(min=0), cells - 1)
    before = points.long()
    after = torch.minimum(before + 1, cells - 1)
    fraction = points - before
    index = torch.stack((before, after), dim=-1)
    weights = torch.stack((1 - fraction, fraction), dim=-1) * (inside[..., None] / SAMPLES)
    return index.view(-1, bins, 2 * SAMPLES), weights.view(-1, bins, 2 * SAMPLES)


class _WeightedGather(torch.autograd.Function):
    """Weighted sums of rows of a table (N, C), with indices and weights (M, L), to (M, C).

    The gradient is the same operation with the indices transposed: for each row of the table the sums that it entered.
    Without a race between threads, it is the same in every run.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(index, weights)
        ctx.rows = len(table)
        return functional.embedding_bag(index, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        index, weights = ctx.saved_tensors
        rows, order = index.flatten().sort(stable=True)
        starts = torch.searchsorted(rows, torch.arange(ctx.rows, dtype=rows.dtype))
        sums = functional.embedding_bag(
            order // index.shape[1],
            gradient.contiguous(),
            starts,
            per_sample_weights=weights.flatten()[order],
            mode="sum",
        )
        return sums, None, None
