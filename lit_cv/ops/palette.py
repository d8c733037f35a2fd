"""Class colors."""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

VOID = 255


def voc_colors() -> Picture:
    """Return the colors of Pascal VOC's masks (``VOClabelcolormap`` of the devkit), uint8 (256, 3), RGB."""
    index, bits = np.arange(256)[:, None], np.arange(8)
    channels = [(((index >> (3 * bits + channel)) & 1) << (7 - bits)).sum(axis=1) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)
