"""Region features of Selective Search: size, box, color and texture histograms, neighbors (section 3.2)."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled

COLOR_BINS = 25
ORIENTATIONS = 8
TEXTURE_BINS = 10
# Width of a texture bin in gray levels per pixel. The derivative of the strongest edge is 255 / sqrt(2 pi) = 102 and
# that of most edges is less than half of it; the last bin takes all larger values.
TEXTURE_STEP = 5.0


class Regions(NamedTuple):
    """N regions of an image.

    ``sizes`` int64 (N,) in pixels; ``boxes`` int32 (N, 4), ``x1, y1, x2, y2``; ``color`` float32 (N, 25 C) and
    ``texture`` float32 (N, 80 C), each row summing to 1; ``pairs`` int32 (P, 2), adjacent regions, each pair once.
    """

    sizes: NDArray[np.int64]
    boxes: NDArray[np.int32]
    color: NDArray[np.float32]
    texture: NDArray[np.float32]
    pairs: NDArray[np.int32]


def texture_bins(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compute the histogram bins of Gaussian derivatives (sigma 1) in eight orientations of each channel.

    Opposite orientations differ only in sign, and negative responses count as zero, as in SIFT. At each pixel one of
    the two is therefore in the lowest bin; the bin of the other is returned.

    Args:
        image: uint8 (H, W, C).

    Returns:
        uint8 (H, W, 4 C), values ``10 * orientation + bin`` with orientation in 0..7.
    """
    smooth = cv2.getGaussianKernel(9, 1)
    slope = smooth * np.arange(-4, 5)[:, None]
    slope /= (slope * np.arange(-4, 5)[:, None]).sum()  # a ramp of one gray level per pixel gives 1
    filters = ((slope, smooth), (smooth, slope))
    dx, dy = (
        np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, *pair), np.float32).reshape(image.shape) for pair in filters
    )
    return _orientation_bins(dx, dy, TEXTURE_STEP)


@compiled
def _orientation_bins(dx: NDArray[np.float32], dy: NDArray[np.float32], step: float) -> NDArray[np.uint8]:
    height, width, channels = dx.shape
    bins = np.empty((height, width, 4 * channels), np.uint8)
    scale, half = np.float32(1 / step), np.float32(np.sqrt(0.5))
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                u, v = dx[y, x, c] * scale, dy[y, x, c] * scale
                for orientation, value in enumerate((u, (u + v) * half, v, (v - u) * half)):
                    level = min(int(abs(value)), TEXTURE_BINS - 1)
                    opposite = ORIENTATIONS // 2 * (value < 0)
                    bins[y, x, 4 * c + orientation] = TEXTURE_BINS * (orientation + opposite) + level
    return bins


def find_regions(labels: NDArray[np.int32], count: int, image: NDArray[np.uint8], bins: NDArray[np.uint8]) -> Regions:
    """Compute the features of the regions of a segmentation.

    Args:
        labels: int32 (H, W) in 0..N-1; each label occurs.
        count: Number of regions, N.
        image: uint8 (H, W, C).
        bins: See ``texture_bins``.
    """
    height, width, channels = image.shape
    sizes, color = np.zeros(count, np.int64), np.zeros((count, channels * COLOR_BINS), np.float32)
    texture = np.zeros((count, channels * ORIENTATIONS, TEXTURE_BINS), np.float32)
    boxes = np.tile(np.array([width, height, 0, 0], np.int32), (count, 1))
    _measure(labels, image, bins, sizes, boxes, color, texture.reshape(count, -1))
    texture[..., 0] = sizes[:, None] - texture[..., 1:].sum(axis=2)
    pixels = sizes[:, None].astype(np.float32)
    color /= pixels * channels
    shares = texture.reshape(count, -1) / (pixels * channels * ORIENTATIONS)
    return Regions(sizes, boxes, color, shares, _neighbors(labels, count))


@compiled
def _measure(
    labels: NDArray[np.int32],
    image: NDArray[np.uint8],
    bins: NDArray[np.uint8],
    sizes: NDArray[np.int64],
    boxes: NDArray[np.int32],
    color: NDArray[np.float32],
    texture: NDArray[np.float32],
) -> None:
    """Fill the sizes, boxes and unnormalized histograms of the regions."""
    height, width, channels = image.shape
    for y in range(height):
        for x in range(width):
            region = labels[y, x]
            sizes[region] += 1
            boxes[region, 0], boxes[region, 1] = min(boxes[region, 0], x), min(boxes[region, 1], y)
            boxes[region, 2], boxes[region, 3] = max(boxes[region, 2], x + 1), max(boxes[region, 3], y + 1)
            for c in range(channels):
                color[region, c * COLOR_BINS + (image[y, x, c] * COLOR_BINS >> 8)] += 1
            for c in range(4 * channels):
                texture[region, c // 4 * ORIENTATIONS * TEXTURE_BINS + bins[y, x, c]] += 1


@compiled
def _neighbors(labels: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """List the pairs of 4-connected regions, int32 (P, 2), each pair once."""
    height, width = labels.shape
    pairs = np.empty((2 * height * width, 2), np.int32)
    latest = np.full(count, -1, np.int32)  # last pair of each region, linked to its previous pair
    previous = np.empty(2 * height * width, np.int32)
    found = 0
    for y in range(height):
        for x in range(width):
            for down, right in ((0, 1), (1, 0)):
                if y + down >= height or x + right >= width or labels[y, x] == labels[y + down, x + right]:
                    continue
                first, second = labels[y, x], labels[y + down, x + right]
                first, second = min(first, second), max(first, second)
                pair = latest[second]
                while pair >= 0 and pairs[pair, 0] != first:
                    pair = previous[pair]
                if pair < 0:
                    pairs[found, 0], pairs[found, 1] = first, second
                    previous[found], latest[second] = latest[second], found
                    found += 1
    return pairs[:found].copy()
