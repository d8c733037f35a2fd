"""Mixings that put resized images onto a square canvas."""

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from datamodules.augmentation.mixing.base import Mixing
from datamodules.augmentation.mixing.placing import fitted
from datamodules.augmentation.ssd_transforms import Image
from lit_cv.errors import UserError
from lit_cv.ops.limits import above_zero, at_least

MEAN = (123, 117, 104)
"""Color of a canvas, RGB: the mean of ImageNet, which networks also pad with."""


class CanvasMixing(Mixing):
    """Puts images of random sizes onto a square canvas.

    Args:
        size: Width and height of the square in pixels.
        scale: Range of the longer side of an image, as a share of the square.
        options: Those of ``Mixing``.

    Attributes:
        SMALLEST: Smallest ``size``.
    """

    SMALLEST: ClassVar[int] = 1

    def __init__(self, size: int, scale: tuple[float, float], **options: float) -> None:
        super().__init__(**options)
        at_least(self.SMALLEST, size=size)
        above_zero(scale=scale)
        if scale[0] > scale[1]:
            raise UserError(f"scale: {list(scale)} is no range; give the smaller number first.")
        self.size, self.scale = size, scale

    def canvas(self) -> Image:
        """Return an empty canvas, uint8 (size, size, 3)."""
        return np.full((self.size, self.size, 3), MEAN, dtype=np.uint8)

    def resized(self, image: Image, rng: Generator) -> tuple[int, int]:
        """Return a random width and height for an image, with its aspect ratio."""
        return fitted(image, rng.uniform(*self.scale) * self.size)
