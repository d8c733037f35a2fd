"""Hierarchical grouping of regions by similarity (Uijlings et al., IJCV 2013, algorithm 1)."""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled
from lit_cv.ops.selective_search.region_features import Regions


@compiled
def similarity(regions: Regions, first: int, second: int, image_size: int, use: tuple[bool, bool, bool, bool]) -> float:
    """Sum the selected similarities, each in [0, 1]: color, texture, size, fill (eq. 1, 3, 4, 5)."""
    total = 0.0
    if use[0]:
        total += _intersection(regions.color[first], regions.color[second])
    if use[1]:
        total += _intersection(regions.texture[first], regions.texture[second])
    together = regions.sizes[first] + regions.sizes[second]
    if use[2]:
        total += 1 - together / image_size
    if use[3]:
        one, other = regions.boxes[first], regions.boxes[second]
        width = max(one[2], other[2]) - min(one[0], other[0])
        height = max(one[3], other[3]) - min(one[1], other[1])
        total += 1 - (width * height - together) / image_size
    return total


@compiled
def _intersection(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    total = np.float32(0)
    for index in range(len(first)):
        total += min(first[index], second[index])
    return float(total)


@compiled
def merge(regions: Regions, first: int, second: int) -> None:
    """Replace the first region by the union of both, in place (eq. 2)."""
    sizes, boxes = regions.sizes, regions.boxes
    together = sizes[first] + sizes[second]
    share = np.float32(sizes[first] / together)
    for histograms in (regions.color, regions.texture):
        for index in range(histograms.shape[1]):
            one, other = histograms[first, index], histograms[second, index]
            histograms[first, index] = other + share * (one - other)
    sizes[first] = together
    for side in range(2):
        boxes[first, side] = min(boxes[first, side], boxes[second, side])
        boxes[first, side + 2] = max(boxes[first, side + 2], boxes[second, side + 2])


class Graph(NamedTuple):
    """Adjacency of regions during merging: each region has a linked list of its neighbors.

    All arrays are int32. Link l points to region ``targets[l]`` or the region that absorbed it, and ``following[l]`` is
    the next link of the list (-1: none). ``heads`` and ``tails`` (N,) are the first and last link of each region,
    ``holders`` (N,) is the region that absorbed it (itself if not merged), and ``seen`` (N,) is the region absorbed in
    the merge that last listed it as a neighbor.
    """

    targets: NDArray[np.int32]
    following: NDArray[np.int32]
    heads: NDArray[np.int32]
    tails: NDArray[np.int32]
    holders: NDArray[np.int32]
    seen: NDArray[np.int32]


@compiled
def _graph(pairs: NDArray[np.int32], count: int) -> Graph:
    targets, following = np.empty(2 * len(pairs), np.int32), np.empty(2 * len(pairs), np.int32)
    heads, tails = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    for link in range(2 * len(pairs)):
        source = pairs[link // 2, link % 2]
        targets[link], following[link] = pairs[link // 2, 1 - link % 2], heads[source]
        if heads[source] < 0:
            tails[source] = link
        heads[source] = link
    return Graph(targets, following, heads, tails, np.arange(count).astype(np.int32), np.full(count, -1, np.int32))


@compiled
def _take_over(graph: Graph, first: int, second: int) -> NDArray[np.int32]:
    """Let the first region absorb the second, and return the neighbors of the union, each once."""
    graph.holders[second] = first
    graph.following[graph.tails[first]] = graph.heads[second]
    neighbors, found = np.empty(len(graph.heads), np.int32), 0
    link, last = graph.heads[first], -1
    while link >= 0:
        target = graph.targets[link]
        while graph.holders[target] != target:
            target = graph.holders[target]
        graph.targets[link] = target
        if target != first and graph.seen[target] != second:
            graph.seen[target] = second
            neighbors[found] = target
            found += 1
            if last < 0:
                graph.heads[first] = link
            else:
                graph.following[last] = link
            last = link
        link = graph.following[link]
    if last >= 0:
        graph.tails[first], graph.following[last] = last, -1
    return neighbors[:found]


@compiled
def group(regions: Regions, image_size: int, use: tuple[bool, bool, bool, bool]) -> NDArray[np.int32]:
    """Merge the two most similar neighbors until one region is left; ties go to the oldest regions.

    Args:
        regions: N regions that form one connected graph.
        image_size: Number of pixels of the image.
        use: Flags that select the similarities of color, texture, size, fill.

    Returns:
        Boxes of the hierarchy, int32 (2N - 1, 4): the N regions, then the unions in order of creation.
    """
    sizes, boxes, color, texture, pairs = regions
    regions = Regions(sizes.copy(), boxes.copy(), color.copy(), texture.copy(), pairs)
    count = len(sizes)
    hierarchy = np.empty((2 * count - 1, 4), np.int32)
    hierarchy[:count] = boxes
    places = np.empty(2 * count - 1, np.int64)  # index among the N regions, for each region of the hierarchy
    places[:count] = np.arange(count)
    names = np.arange(count)  # the hierarchy's region at each of these indices
    graph = _graph(pairs, count)
    queue = [(-similarity(regions, a, b, image_size, use), np.int64(a), np.int64(b)) for a, b in pairs]
    heapq.heapify(queue)
    union = count
    while union < len(hierarchy):
        _, name, other = heapq.heappop(queue)
        first, second = places[name], places[other]
        if names[first] != name or names[second] != other:
            continue  # stale: one of them has been merged since
        merge(regions, first, second)
        hierarchy[union], places[union] = regions.boxes[first], first
        names[first], names[second] = union, -1
        for neighbor in _take_over(graph, first, second):
            value = similarity(regions, first, neighbor, image_size, use)
            heapq.heappush(queue, (-value, names[neighbor], np.int64(union)))
        union += 1
    return hierarchy
