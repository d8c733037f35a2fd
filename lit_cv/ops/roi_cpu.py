"""Pooling of regions on CPU: the results of torchvision's kernels in a fraction of their time, forward and backward.

Both read the maps as one table with a row for each cell, in which the channels of a cell lie side by side. Both are the
same in every run: no two threads add to one sum.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lit_cv.ops.compiled import compiled

SAMPLES = 2  # RoIAlign reads 2 x 2 points in each bin
NEIGHBOURS = (2 * SAMPLES) ** 2  # and each point lies between four cells

Array = np.ndarray[Any, Any]


class Cells(NamedTuple):
    """The cells of all maps, and where K regions lie in them.

    Attributes:
        table: (N, C) in single or double precision; map by map, image by image, row by row.
        boxes: (K, 4), ``x1, y1, x2, y2`` in cells of the region's map.
        origin: int64 (K,), the row of ``table`` at which the region's map begins.
        height: int64 (K,), of the region's map.
        width: int64 (K,), of the region's map.
    """

    table: Tensor
    boxes: Tensor
    origin: Tensor
    height: Tensor
    width: Tensor


def find_cells(maps: list[Tensor], strides: list[int], rois: Tensor, levels: Tensor) -> Cells:
    """Join maps (B, C, H, W) to one table and find regions (K, 5) in it, each on the map ``levels`` (K,) of it."""
    channels = maps[0].shape[1]
    table = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, channels) for level in maps])
    heights, widths, cells = torch.tensor([(*level.shape[-2:], level[:, 0].numel()) for level in maps]).T
    height, width, start = heights[levels], widths[levels], (cells.cumsum(0) - cells)[levels]
    return Cells(
        table=table.to(torch.promote_types(table.dtype, torch.float32)),
        boxes=rois[:, 1:] * (1 / torch.tensor(strides, dtype=rois.dtype))[levels][:, None],
        origin=start + rois[:, 0].long() * height * width,
        height=height,
        width=width,
    )


def align(cells: Cells, size: int) -> Tensor:
    """RoIAlign: every bin is a weighted sum of ``NEIGHBOURS`` rows of the table; (K, C, size, size)."""
    left, top, right, bottom = cells.boxes.T
    rows, row_weights = _neighbours(top, bottom, cells.height, size)
    columns, column_weights = _neighbours(left, right, cells.width, size)
    rows = cells.origin[:, None, None] + rows * cells.width[:, None, None]
    index = rows.int()[:, :, None, :, None] + columns.int()[:, None, :, None, :]
    weights = (row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]).to(cells.table.dtype)
    pooled: Tensor = _WeightedGather.apply(cells.table, index.view(-1, NEIGHBOURS), weights.view(-1, NEIGHBOURS))
    return pooled.view(-1, size, size, cells.table.shape[1]).permute(0, 3, 1, 2)


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


def max_pool(cells: Cells, size: int) -> Tensor:
    """RoI max pooling: every bin is the largest of its cells in each channel, 0 outside the map; (K, C, size, size)."""
    left, top, right, bottom = cells.boxes.T
    rows = _bounds(top, bottom, cells.height, size)
    columns = _bounds(left, right, cells.width, size)
    pooled: Tensor = _MaxPool.apply(cells.table, rows, columns, cells.origin, cells.width)
    return pooled.view(*pooled.shape[:2], size, size)


def _bounds(low: Tensor, high: Tensor, cells: Tensor, bins: int) -> Tensor:
    """Find the first cell of each bin along one axis and the one after its last, int64 (K, bins, 2).

    Neighbouring bins may share a cell, and a bin outside the map is empty, as in torchvision.
    """
    start, end = _round(low), _round(high)
    length = ((end - start + 1).clamp(min=1) / bins)[:, None]
    steps = torch.arange(bins, dtype=low.dtype)
    bounds = torch.stack((torch.floor(steps * length), torch.ceil((steps + 1) * length)), dim=-1)
    return torch.minimum((bounds + start[:, None, None]).clamp(min=0), cells[:, None, None]).long()


def _round(values: Tensor) -> Tensor:
    """Round halves away from zero, as C does; ``torch.round`` takes them to the even number."""
    magnitude = values.abs()
    below = magnitude.floor()
    return (below + (magnitude - below >= 0.5)).copysign(values)


class _MaxPool(torch.autograd.Function):
    """Maxima over rectangles of cells, to (K, C, bins * bins); the gradient goes to the first cell that holds one.

    The loops are compiled: torch has no operation that finds the places of maxima over rectangles of any size.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, columns: Tensor, origin: Tensor, width: Tensor) -> Tensor:
        shape = (len(rows), table.shape[1], rows.shape[1] ** 2)
        pooled, where = table.new_empty(shape), torch.empty(shape, dtype=torch.int32)
        boxes = (rows.numpy(), columns.numpy(), origin.numpy(), width.numpy())
        _maxima(table.detach().contiguous().numpy(), boxes, pooled.numpy(), where.numpy())
        ctx.save_for_backward(where)
        ctx.rows = len(table)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (where,) = ctx.saved_tensors
        sums = gradient.new_zeros(gradient.shape[1], ctx.rows)
        _add_at(gradient.contiguous().numpy(), where.numpy(), sums.numpy())
        return sums.T, None, None, None, None


@compiled
def _maxima(table: Array, boxes: tuple[Array, Array, Array, Array], pooled: Array, where: Array) -> None:
    """Fill ``pooled`` and ``where`` (K, C, bins * bins): the maxima and their rows of the table, -1 in empty bins.

    ``boxes`` are the bounds of the bins, rows and columns (K, bins, 2), and ``origin`` and ``width`` of ``Cells``. One
    region is held in the processor's cache with its channels side by side, then written with its bins side by side.
    """
    rows, columns, origin, width = boxes
    bins, channels = rows.shape[1], table.shape[1]
    best = np.empty((bins * bins, channels), table.dtype)
    place = np.empty((bins * bins, channels), np.int32)
    for region in range(len(rows)):
        best[:] = 0
        place[:] = -1
        for bin_ in range(bins * bins):
            top, bottom = rows[region, bin_ // bins]
            left, right = columns[region, bin_ % bins]
            for row in range(top, bottom):
                for column in range(left, right):
                    cell = np.int32(origin[region] + row * width[region] + column)
                    first = row == top and column == left
                    for channel in range(channels):
                        value = table[cell, channel]
                        larger = first or value > best[bin_, channel]
                        best[bin_, channel] = value if larger else best[bin_, channel]
                        place[bin_, channel] = cell if larger else place[bin_, channel]
        for channel in range(channels):
            for bin_ in range(bins * bins):
                pooled[region, channel, bin_] = best[bin_, channel]
                where[region, channel, bin_] = place[bin_, channel]


@compiled
def _add_at(gradient: Array, where: Array, sums: Array) -> None:
    """Add each gradient (K, C, bins * bins) to the sum (C, N) of its channel and of the row ``where`` it came from."""
    for region in range(gradient.shape[0]):
        for channel in range(gradient.shape[1]):
            for bin_ in range(gradient.shape[2]):
                cell = where[region, channel, bin_]
                if cell >= 0:
                    sums[channel, cell] += gradient[region, channel, bin_]
