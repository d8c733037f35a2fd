"""Class colors."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

VOID = 255
Color = tuple[int, int, int]
LIGHTNESS, CHROMA = (38.0, 88.0), 35.0  # limits in CIELAB: visible on black, white and gray


def voc_colors() -> Picture:
    """Return the colors of Pascal VOC's masks (``VOClabelcolormap`` of the devkit), uint8 (256, 3), RGB."""
    index, bits = np.arange(256)[:, None], np.arange(8)
    channels = [(((index >> (3 * bits + channel)) & 1) << (7 - bits)).sum(axis=1) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)


def strong_color(number: int) -> Color:
    """Return a saturated color, RGB, for a class or an instance; any two of the first 81 numbers can be told apart."""
    red, green, blue = distinct_colors()[number % 256].tolist()
    return red, green, blue


@cache
def distinct_colors() -> Picture:
    """Return 256 saturated colors, uint8 (256, 3), RGB; each is the one farthest from all before it in CIELAB."""
    steps = np.linspace(0, 1, 16, dtype=np.float32)
    candidates = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    lab = cv2.cvtColor(candidates, cv2.COLOR_RGB2LAB)[0]
    strong = (lab[:, 0] > LIGHTNESS[0]) & (lab[:, 0] < LIGHTNESS[1]) & (np.hypot(lab[:, 1], lab[:, 2]) > CHROMA)
    candidates, lab = candidates[0, strong], lab[strong]
    chosen = [int((candidates[:, 0] - candidates[:, 1] - candidates[:, 2]).argmax())]  # red
    nearest = np.full(len(lab), np.inf)
    while len(chosen) < 256:
        nearest = np.minimum(nearest, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    colors: Picture = np.round(255 * candidates[chosen]).astype(np.uint8)
    return colors
