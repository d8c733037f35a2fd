"""Selective Search: class-independent object proposals (Uijlings, van de Sande, Gevers & Smeulders, IJCV 2013)."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.selective_search.graph_segmentation import Edges, segment, sorted_edges
from lit_cv.ops.selective_search.ranking import rank
from lit_cv.ops.selective_search.region_features import find_regions, texture_bins
from lit_cv.ops.selective_search.region_merging import group
from lit_cv.ops.stages import stage

Mode = Literal["single", "fast", "quality"]
Colors = Literal["hsv", "lab", "rgi", "h", "i"]
Input = TypeVar("Input")
Output = TypeVar("Output")

CODES: dict[Colors, int] = {
    "hsv": cv2.COLOR_RGB2HSV_FULL,
    "lab": cv2.COLOR_RGB2LAB,
    "rgi": cv2.COLOR_RGB2GRAY,  # third channel, after the shares of red and green
    "h": cv2.COLOR_RGB2HSV_FULL,
    "i": cv2.COLOR_RGB2GRAY,
}
SIGMA = 0.8  # pixels, standard deviation of the blur before segmentation
# Terms of a similarity: color, texture, size, fill.
CTSF, TSF, F, S = (True,) * 4, (False, True, True, True), (False, False, False, True), (False, False, True, False)


class Strategy(NamedTuple):
    """Color spaces, similarities and scales k of the initial segmentation; all combinations are run."""

    colors: tuple[Colors, ...]
    similarities: tuple[tuple[bool, bool, bool, bool], ...]
    scales: tuple[int, ...]


# Section 5.2 of the paper.
STRATEGIES: dict[Mode, Strategy] = {
    "single": Strategy(("hsv",), (CTSF,), (100,)),
    "fast": Strategy(("hsv", "lab"), (CTSF, TSF), (50, 100)),
    "quality": Strategy(("hsv", "lab", "rgi", "h", "i"), (CTSF, TSF, F, S), (50, 100, 150, 300)),
}


class _Prepared(NamedTuple):
    """An image in a color space, uint8 (H, W, C), its texture bins and its sorted edges."""

    image: NDArray[np.uint8]
    texture: NDArray[np.uint8]
    edges: Edges


@stage("proposals")
def selective_search(image: NDArray[np.uint8], mode: Mode = "fast", threads: int | None = None) -> NDArray[np.float32]:
    """Propose boxes that may hold an object.

    Args:
        image: uint8 (H, W, 3), RGB.
        mode: ``single`` (1 hierarchy of regions), ``fast`` (8) or ``quality`` (80), section 5.2 of the paper.
        threads: Number of threads; None means the number of cores available to this process. The result is the same.

    Returns:
        float32 (N, 4), ``x1, y1, x2, y2`` in pixels, without duplicates, best first (see ``rank``). N is at least 1
        because the whole image is one of the boxes.

    Raises:
        ValueError: If the image is not uint8 (H, W, 3) with at least one pixel.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"Selective Search takes uint8 (H, W, 3) with H, W > 0, not {image.dtype} {image.shape}.")
    colors, similarities, scales = STRATEGIES[mode]
    workers = len(os.sched_getaffinity(0)) if threads is None else threads
    prepared = _map(partial(_prepare, np.ascontiguousarray(image)), colors, workers)
    jobs = [(space, k) for space in prepared for k in scales]
    hierarchies = _map(partial(_hierarchies, similarities), jobs, workers)
    return rank([boxes for some in hierarchies for boxes in some])


def _map(function: Callable[[Input], Output], inputs: Iterable[Input], workers: int) -> list[Output]:
    if workers == 1:
        return [function(value) for value in inputs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, inputs))


def _prepare(image: NDArray[np.uint8], colors: Colors) -> _Prepared:
    converted = np.ascontiguousarray(convert(image, colors))
    planes = converted.transpose(2, 0, 1).astype(np.float32)
    blurred = np.stack([cv2.GaussianBlur(plane, (0, 0), SIGMA) for plane in planes])
    return _Prepared(converted, texture_bins(converted), sorted_edges(blurred))


def convert(image: NDArray[np.uint8], colors: Colors) -> NDArray[np.uint8]:
    """Convert RGB uint8 (H, W, 3) to a color space, uint8 (H, W, C), each channel in 0..255."""
    converted = np.asarray(cv2.cvtColor(image, CODES[colors]), np.uint8).reshape(*image.shape[:2], -1)
    if colors == "h":
        return converted[..., :1]
    if colors != "rgi":
        return converted
    total = np.maximum(image.sum(axis=2, dtype=np.float32, keepdims=True), 1)
    shares = (image[..., :2] * (255 / total)).astype(np.uint8)
    return np.concatenate((shares, converted), axis=2)


def _hierarchies(
    similarities: tuple[tuple[bool, bool, bool, bool], ...], job: tuple[_Prepared, int]
) -> list[NDArray[np.int32]]:
    """Segment at one scale, which is also the minimum region size, and group by each similarity."""
    (image, texture, edges), k = job
    height, width = image.shape[:2]
    regions = find_regions(*segment(edges, height, width, k, k), image, texture)
    return [group(regions, height * width, use) for use in similarities]
