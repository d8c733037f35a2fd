"""Contours of class masks: boundary IoU (Cheng et al. 2021) and errors near a contour (Kohli et al. 2009)."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
Counts = NDArray[np.int64]

OUTSIDE = 255  # void; the outside of an image is the same
WIDEST = 32  # pixels, widest band whose width is the same for all images
RATIO = 0.02  # width of the paper's band, as a share of the image's diagonal


class Bands(NamedTuple):
    """Pixels in the bands along the contours of one image or, as a sum, of many.

    Row w of ``shared`` and ``united`` is the band of w + 1 pixels, up to ``WIDEST``; the last row is the band of
    ``RATIO`` of the diagonal.

    Attributes:
        shared: int64 (WIDEST + 1, C), pixels of class c in the bands of the prediction and of the target.
        united: int64 (WIDEST + 1, C), pixels of class c in one of the two bands.
        near: int64 (WIDEST + 1, 2), wrong and counted pixels within w + 1 pixels of a contour of the target; the last
            row is those of the whole image.
    """

    shared: Counts
    united: Counts
    near: Counts

    def __add__(self, other: "Bands") -> "Bands":  # type: ignore[override]
        return Bands(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def boundary_iou(self) -> NDArray[np.float64]:
        """Boundary IoU by width and class, (WIDEST + 1, C); NaN for a class that has no contour."""
        with np.errstate(invalid="ignore"):
            return self.shared / self.united


def no_bands(classes: int) -> Bands:
    """Return the sum over no image."""
    return Bands(*(np.zeros((WIDEST + 1, columns), np.int64) for columns in (classes, classes, 2)))


def count_bands(found: Labels, wanted: Labels, classes: int) -> Bands:
    """Count the pixels of one image along its contours.

    Cheng et al. 2021 (arXiv:2103.16562) compare the pixels of a mask within d pixels of its contour:
    |(G_d ∩ G) ∩ (P_d ∩ P)| / |(G_d ∩ G) ∪ (P_d ∩ P)|. As in the authors' code, distances are those of squares (the
    larger of the two differences), the edge of the image is a contour, and d is 2 % of the diagonal, at least 1. Void
    belongs to the outside in both masks, so that a perfect prediction has a boundary IoU of 1.

    Args:
        found: uint8 (H, W), 0..classes - 1.
        wanted: uint8 (H, W), 0..classes - 1 or void.
        classes: Number of classes with the background.
    """
    found = np.where(wanted == OUTSIDE, np.uint8(OUTSIDE), found)
    width = max(1, round(RATIO * float(np.hypot(*wanted.shape))))
    most = max(WIDEST, width)
    depths = [np.minimum(depth_in_class(mask), most + 1) for mask in (found, wanted)]
    right = (found == wanted) & (wanted != OUTSIDE)
    shared = _up_to(wanted[right], np.maximum(*depths)[right], classes, most)
    own = [_up_to(mask[mask != OUTSIDE], depth[mask != OUTSIDE], classes, most) for mask, depth in
           zip((found, wanted), depths, strict=True)]  # fmt: skip
    rows = [*range(WIDEST), width - 1]
    counted = wanted != OUTSIDE
    distances = np.minimum(distance_to_contour(wanted), WIDEST + 1)
    near = [_up_to(np.zeros(int(part.sum()), np.uint8), distances[part], 1, WIDEST + 1) for part in
            (counted & ~right, counted)]  # fmt: skip
    return Bands(shared[rows], (own[0] + own[1] - shared)[rows], np.concatenate(near, axis=1))


def count_band(found: Labels, wanted: Labels, classes: int, width: int) -> Counts:
    """Count the pixels of one image in the bands of one width; equal to a row of ``count_bands``, and cheaper.

    Args:
        found: uint8 (H, W), 0..classes - 1.
        wanted: uint8 (H, W), 0..classes - 1 or void.
        classes: Number of classes with the background.
        width: Width of the bands in pixels, at least 1.

    Returns:
        int64 (2, classes), pixels of each class in both bands, and in one of them.
    """
    counted = wanted != OUTSIDE
    masks = (np.where(counted, found, np.uint8(OUTSIDE)), wanted)
    bands = [counted & (depth_in_class(mask) <= width) for mask in masks]
    shared = np.bincount(wanted[bands[0] & bands[1] & (found == wanted)], minlength=classes)
    own = [np.bincount(mask[band], minlength=classes) for mask, band in zip(masks, bands, strict=True)]
    return np.stack([shared, own[0] + own[1] - shared])


def depth_in_class(labels: Labels) -> NDArray[np.int32]:
    """Return how many pixels each pixel, (H, W), is away from the nearest one of another label or outside, from 1.

    Between a pixel and the nearest other label lies a pixel of its own label that touches it, so one distance
    transform serves all classes.
    """
    padded = np.pad(labels, 1, constant_values=OUTSIDE)
    return _distances(_edges(padded))[1:-1, 1:-1] + 1


def distance_to_contour(labels: Labels) -> NDArray[np.int32]:
    """Return how many pixels each pixel, (H, W), is away from a contour, from 1; the image's edge is none."""
    return _distances(_edges(labels)) + 1


def _edges(labels: Labels) -> NDArray[np.bool_]:
    """Tell which pixels touch another label, at a side or a corner."""
    square = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.erode(labels, square) != cv2.dilate(labels, square))


def _distances(sources: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the distance to the nearest source in steps of a chess king; very large if there is none."""
    distances = cv2.distanceTransform((~sources).astype(np.uint8), cv2.DIST_C, 3)
    return np.minimum(distances, np.float32(2**20)).astype(np.int32)


def _up_to(labels: Labels, distances: NDArray[np.int32], classes: int, most: int) -> Counts:
    """Count pixels by label within 1, 2, ... ``most`` pixels: int64 (most, classes)."""
    pairs = labels.astype(np.int32) * (most + 2) + np.minimum(distances, most + 1)
    counts = np.bincount(pairs, minlength=classes * (most + 2)).reshape(classes, most + 2)
    return counts.cumsum(axis=1)[:, 1 : most + 1].T.astype(np.int64)
