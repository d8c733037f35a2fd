"""Boxes and polygons in pixels of labels that are shares of the image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.defects import ROUNDING
from datamodules.yolo.labels import Lines

_SAME = 1e-3  # pixels: closer than this to a whole pixel is that pixel


class Objects(NamedTuple):
    """M objects of N pictures.

    Attributes:
        corners: float64 (M, 4), the boxes as xyxy in pixels; of a polygon the smallest box around it.
        areas: float64 (M,), of the polygon if there is one, else of the box, in square pixels.
        points: float64 (V,), x and y of the corners of all polygons in turn, in pixels.
        counts: int64 (M,), count of each object's numbers in ``points``; 0 of a box.
    """

    corners: NDArray[np.float64]
    areas: NDArray[np.float64]
    points: NDArray[np.float64]
    counts: NDArray[np.int64]


def objects_of(lines: Lines, sizes: NDArray[np.int32]) -> Objects:
    """Return the objects of label files in pixels, see :func:`whole_pixels`.

    Args:
        lines: The label files.
        sizes: int32 (N, 2), width and height of each picture.
    """
    starts = np.cumsum(lines.counts) - lines.counts
    boxed = np.flatnonzero(lines.counts == 4)
    outlined = np.flatnonzero(lines.counts != 4)
    x, y, w, h = lines.values[starts[boxed, None] + np.arange(4)].T
    shares = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    corners = np.zeros((len(lines.counts), 4))
    corners[boxed] = whole_pixels(shares, np.tile(sizes[lines.images[boxed]], 2), lines.digits[lines.images[boxed]])
    counts = np.where(lines.counts == 4, 0, lines.counts)
    owners = np.repeat(lines.images[outlined], lines.counts[outlined] // 2)
    points = lines.values[np.repeat(lines.counts != 4, lines.counts)].reshape(-1, 2)
    points = whole_pixels(points, sizes[owners], lines.digits[owners])
    first = (np.cumsum(counts[outlined]) - counts[outlined]) // 2
    if len(first):
        low, high = (bound.reduceat(points, first) for bound in (np.minimum, np.maximum))
        corners[outlined] = np.concatenate([low, high], axis=1)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    areas[outlined] = _areas(points, first)
    return Objects(corners, areas, points.reshape(-1), counts)


def whole_pixels(
    shares: NDArray[np.float64], sizes: NDArray[np.int32], digits: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return shares of the image in pixels, whole ones where the text cannot tell the difference.

    Tools write ``139 / 640`` as 0.217188, which is 139.00032 pixels. A coordinate whose distance to a whole pixel is
    within the rounding of the text is that pixel, so that labels made from whole pixels return to them exactly. Where
    the text is coarser than 1/20 of a pixel, only 1/1000 of a pixel is rounded away.

    Args:
        shares: (M, D), sums of numbers of the text, x and y in turn.
        sizes: (M, D), width or height for each.
        digits: int64 (M,), significant digits of the text.
    """
    pixels = shares * sizes
    rounding = 0.75 * 10.0 ** -digits.astype(np.float64)[:, None] * sizes  # of a center and half of a width
    near = np.where(rounding > ROUNDING, _SAME, np.maximum(rounding, _SAME))
    whole = np.rint(pixels)
    return np.where(np.abs(pixels - whole) <= near, whole, pixels)


def _areas(points: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the areas of polygons, by Gauss's formula.

    Args:
        points: (P, 2), the corners of all polygons in turn.
        first: int64 (Q,), the first corner of each polygon.
    """
    if not len(first):
        return np.zeros(0)
    following = np.arange(1, len(points) + 1)
    following[np.append(first[1:], len(points)) - 1] = first
    twice = points[:, 0] * points[following, 1] - points[following, 0] * points[:, 1]
    return np.abs(np.add.reduceat(twice, first)) / 2
