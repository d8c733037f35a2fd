"""Efficient graph-based image segmentation (Felzenszwalb & Huttenlocher, IJCV 2004)."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled

STEPS = 64  # edge-weight steps per gray level; integer weights allow a counting sort
BUCKETS = 442 * STEPS + 1  # the largest distance of two colors is sqrt(3) * 255
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (rows, columns) to the four later neighbors in scan order

Edges = tuple[NDArray[np.int32], NDArray[np.int64]]


@compiled
def sorted_edges(planes: NDArray[np.float32]) -> Edges:
    """Sort the edges between adjacent pixels by color distance.

    Args:
        planes: float32 (C, H, W) with C at most 3, in [0, 255], blurred.

    Returns:
        The edges, int32 (E,), each ``4 * pixel + direction``, sorted by weight, direction and pixel; and the end
        (exclusive) of each weight bucket in them, int64 (BUCKETS,). The weight is ``bucket / STEPS``.
    """
    channels, height, width = planes.shape
    weights = np.empty((4, height, width), np.uint16)
    ends = np.zeros(BUCKETS, np.int64)
    row = np.empty(width, np.float32)
    for direction in range(4):
        down, right = DIRECTIONS[direction]
        first, last = max(0, -right), width - max(0, right)
        for y in range(height - down):
            row[:] = 0
            for c in range(channels):
                for x in range(first, last):
                    difference = planes[c, y, x] - planes[c, y + down, x + right]
                    row[x] += difference * difference
            for x in range(first, last):
                weight = np.uint16(np.sqrt(row[x]) * STEPS + np.float32(0.5))
                weights[direction, y, x] = weight
                ends[weight] += 1
    position = 0
    for bucket in range(BUCKETS):
        position += ends[bucket]
        ends[bucket] = position - ends[bucket]
    edges = np.empty(position, np.int32)
    for direction in range(4):
        down, right = DIRECTIONS[direction]
        for y in range(height - down):
            for x in range(max(0, -right), width - max(0, right)):
                weight = weights[direction, y, x]
                edges[ends[weight]] = 4 * (y * width + x) + direction
                ends[weight] += 1
    return edges, ends


@compiled
def segment(edges: Edges, height: int, width: int, k: float, min_size: int) -> tuple[NDArray[np.int32], int]:
    """Grow regions along edges in ascending order of weight (algorithm 1 of the paper, on the 8-connected grid).

    Two regions are joined if, for each of them, the weight of the edge between them is at most the region's largest
    internal edge weight plus ``k / size`` (eq. 3-5). Then each region below the minimum size joins the neighbor across
    its lightest edge.

    Args:
        edges: See ``sorted_edges``.
        height: Image height in pixels.
        width: Image width in pixels.
        k: Scale of observation, in gray levels times pixels; larger values give larger regions.
        min_size: Minimum size of a region in pixels.

    Returns:
        The region of each pixel, int32 (H, W), numbered from 0 in order of first pixels; and the number of regions.
    """
    order, ends = edges
    parents, sizes = np.arange(height * width).astype(np.uint32), np.ones(height * width, np.int32)
    limits = np.full(height * width, k, np.float32)
    offsets = np.array([1, width, width + 1, width - 1], np.uint32)
    between = np.empty(len(order), np.int32)  # edges that did not join their two regions
    left, start = 0, 0
    for bucket in range(BUCKETS):
        weight = np.float32(bucket / STEPS)
        for position in range(start, ends[bucket]):
            first, second = _regions(parents, order[position], offsets)
            if first == second:
                continue
            if weight <= limits[first] and weight <= limits[second]:
                joined = _join(parents, sizes, first, second)
                limits[joined] = weight + np.float32(k) / np.float32(sizes[joined])
            else:
                between[left] = order[position]
                left += 1
        start = ends[bucket]
    for edge in between[:left]:
        first, second = _regions(parents, edge, offsets)
        if first != second and (sizes[first] < min_size or sizes[second] < min_size):
            _join(parents, sizes, first, second)
    return _number(parents, height, width)


@compiled
def _regions(parents: NDArray[np.uint32], edge: int, offsets: NDArray[np.uint32]) -> tuple[np.uint32, np.uint32]:
    """Find the roots of both ends of an edge (or their common parent) and attach the ends directly to them."""
    first = np.uint32(edge) >> np.uint32(2)
    second = first + offsets[edge & 3]
    if parents[first] != parents[second]:
        parents[first], parents[second] = _root(parents, first), _root(parents, second)
    return parents[first], parents[second]


@compiled
def _root(parents: NDArray[np.uint32], pixel: np.uint32) -> np.uint32:
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def _join(parents: NDArray[np.uint32], sizes: NDArray[np.int32], first: np.uint32, second: np.uint32) -> np.uint32:
    if sizes[first] < sizes[second]:
        first, second = second, first
    parents[second] = first
    sizes[first] += sizes[second]
    return first


@compiled
def _number(parents: NDArray[np.uint32], height: int, width: int) -> tuple[NDArray[np.int32], int]:
    numbers = np.full(height * width, -1, np.int32)
    labels = np.empty(height * width, np.int32)
    count = 0
    for pixel in range(height * width):
        root = _root(parents, np.uint32(pixel))
        if numbers[root] < 0:
            numbers[root] = count
            count += 1
        labels[pixel] = numbers[root]
    return labels.reshape(height, width), count
