"""Boundary IoU against the authors' way of computing it, mask by mask with repeated erosion, and by hand."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lit_cv.metrics import BoundaryIoU
from lit_cv.metrics.contours import OUTSIDE, WIDEST, count_bands, no_bands

Labels = NDArray[np.uint8]


def boundary(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """``mask_to_boundary`` of the authors (github.com/bowenc0221/boundary-iou-api) for a width in pixels."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & (eroded == 0)


def scene(rng: np.random.Generator, size: tuple[int, int], classes: int) -> Labels:
    labels = np.zeros(size, np.uint8)
    for _ in range(5):
        center, axes = rng.integers(0, min(size), 2).tolist(), rng.integers(1, 25, 2).tolist()
        cv2.ellipse(labels, center, axes, 0, 0, 360, int(rng.integers(0, classes)), cv2.FILLED)
    return labels


@pytest.mark.parametrize("void", [False, True])
def test_the_bands_are_those_of_the_authors_code(void: bool) -> None:
    rng, classes = np.random.default_rng(3), 4
    for size in [(60, 90), (7, 40), (1, 1), (120, 50), (900, 1900)]:  # 2 % of the last diagonal are 42 pixels
        found, wanted = scene(rng, size, classes), scene(rng, size, classes)
        if void:
            wanted[cv2.dilate((rng.random(size) < 0.005).astype(np.uint8), np.ones((3, 3))) > 0] = OUTSIDE
        bands = count_bands(found, wanted, classes)
        own = np.where(wanted == OUTSIDE, OUTSIDE, found)
        share = max(1, round(0.02 * np.hypot(*size)))
        for row, width in [(0, 1), (2, 3), (WIDEST - 1, WIDEST), (WIDEST, share)]:
            pairs = [(boundary(own == c, width), boundary(wanted == c, width)) for c in range(classes)]
            assert bands.shared[row].tolist() == [np.count_nonzero(a & b) for a, b in pairs], (size, width)
            assert bands.united[row].tolist() == [np.count_nonzero(a | b) for a, b in pairs], (size, width)


def test_a_square_that_is_one_pixel_too_far_right_by_hand() -> None:
    wanted = np.zeros((40, 60), np.uint8)
    wanted[10:20, 20:30] = 1
    found = np.roll(wanted, 1, axis=1)
    bands = count_bands(found, wanted, 2)
    # The rings of one pixel have 36 pixels each. They share the upper and the lower sides but for one corner each.
    assert (bands.shared[0, 1], bands.united[0, 1]) == (18, 54)
    assert bands.boundary_iou[WIDEST - 1, 1] == 90 / 110  # no pixel is deeper than 5 pixels: the IoU of the masks
    # The 20 wrong pixels touch a contour of the target: its first column inside, and the one outside its last column.
    # The pixels beside the contour are the ring of 36 pixels and the 44 around it.
    assert bands.near[0].tolist() == [20, 80]
    assert bands.near[WIDEST].tolist() == [20, 2400]


def test_a_perfect_prediction_beside_void_has_a_boundary_iou_of_1() -> None:
    wanted = np.zeros((30, 30), np.uint8)
    wanted[8:22, 8:22] = OUTSIDE
    wanted[10:20, 10:20] = 1
    found = np.zeros((30, 30), np.uint8)
    found[9:21, 9:21] = 1
    bands = count_bands(found, wanted, 3)
    assert (bands.boundary_iou[:, :2] == 1).all()
    assert np.isnan(bands.boundary_iou[:, 2]).all()
    assert bands.near[:, 0].sum() == 0


def test_the_logged_number_is_the_row_of_its_width_over_all_images() -> None:
    rng, classes = np.random.default_rng(4), 5  # class 4 is nowhere
    metric, total = BoundaryIoU(classes), no_bands(classes)
    for size in [(60, 90), (7, 40), (1, 1)]:
        found, wanted = scene(rng, size, 4), scene(rng, size, 4)
        wanted[cv2.dilate((rng.random(size) < 0.005).astype(np.uint8), np.ones((3, 3))) > 0] = OUTSIDE
        metric.update([{"mask": torch.from_numpy(found)}], [{"mask": torch.from_numpy(wanted)}])
        total += count_bands(found, wanted, classes)
    assert metric.compute()["boundary_iou"] == np.nanmean(total.boundary_iou[metric.width - 1])
    assert metric.width == 2
    metric.reset()
    assert np.isnan(metric.compute()["boundary_iou"])
