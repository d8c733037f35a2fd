"""The rules of the masks in COCO's annotations."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.tables import Segmentations
from datamodules.defects import ROUNDING, Finding


def size_errors(masks: Segmentations, sizes: NDArray[np.float64]) -> Finding:
    """Find RLEs of another size than their image, (M, 2), width and height; infinite sizes are unknown."""

    def other_size(row: int) -> str:
        (width, height), (expected, tall) = masks.sizes[row].tolist(), sizes[row].tolist()
        return f"has an RLE of {width}x{height} pixels in an image of {expected:g}x{tall:g}: fix it"

    unlike = (masks.sizes != sizes).any(axis=1) & np.isfinite(sizes).all(axis=1)
    return Finding((masks.lengths > 0) & unlike, "RLE of another size", other_size)


def mask_repairs(masks: Segmentations, sizes: NDArray[np.float64]) -> Iterator[Finding]:
    """Find polygons and objects that packing drops, and polygons that it clips."""
    yield Finding(
        masks.short > 0,
        "empty polygon",
        lambda row: (
            f"has {masks.short[row]} polygons with fewer than three corners, which are dropped: fix or remove them"
        ),
    )
    yield Finding(
        masks.odd > 0,
        "odd polygon",
        lambda row: (
            f"has {masks.odd[row]} polygons with an odd count of numbers, which are dropped: add the missing x or y"
        ),
    )
    yield Finding(
        (masks.lengths == 0) & (masks.polygons == 0),
        "object without mask",
        lambda _: "has no usable mask and is dropped: fix it",
    )
    yield Finding(
        _leaving(masks, sizes),
        "polygon outside the image",
        lambda _: "has a polygon that reaches outside its image and is clipped: fix it",
    )


def _leaving(masks: Segmentations, sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which annotations have a polygon that reaches outside the image, bool (M,)."""
    outside = np.zeros(len(sizes), dtype=np.bool_)
    if len(masks.corners):
        points, starts = masks.points.reshape(-1, 2), (np.cumsum(masks.corners) - masks.corners) // 2
        low, high = (extreme.reduceat(points, starts) for extreme in (np.minimum, np.maximum))
        of_polygon = np.repeat(np.arange(len(sizes)), masks.polygons)
        outside[of_polygon[((low < -ROUNDING) | (high > sizes[of_polygon] + ROUNDING)).any(axis=1)]] = True
    return outside
