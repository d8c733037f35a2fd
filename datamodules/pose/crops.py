"""Crops of people: cropped, scaled, rotated and mirrored in one step, together with their joints."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError


class Crop(NamedTuple):
    """The transform of an image to a crop.

    Attributes:
        matrix: float64 (2, 3), maps (x, y, 1) in the image to (x, y) in the crop, (0, 0) the center of the first pixel.
        scale: Pixels of the crop for each pixel of the image.
        mirrored: Whether left and right swap.
    """

    matrix: NDArray[np.float64]
    scale: float
    mirrored: bool

    def cut(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Return the crop, uint8 (size, size, 3), interpolated bilinearly and black outside the image."""
        return np.asarray(cv2.warpAffine(image, self.matrix, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)

    def move(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map points (N, 2) of the image to points of the crop, (N, 2)."""
        moved: NDArray[np.float64] = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved


@dataclass(frozen=True)
class CropAugmentation:
    """Random changes of a crop.

    Attributes:
        rotation: Maximum angle in degrees; sampled uniformly from [-rotation, rotation].
        scale_jitter: The person's scale is multiplied by a factor sampled uniformly from [1 - scale_jitter, 1 +
            scale_jitter].
        flip: Probability of a mirrored crop.
    """

    rotation: float
    scale_jitter: float
    flip: float

    def __post_init__(self) -> None:
        if self.rotation < 0 or not 0 <= self.scale_jitter < 1 or not 0 <= self.flip <= 1:
            raise UserError(
                f"rotation={self.rotation}, scale_jitter={self.scale_jitter}, flip={self.flip}: "
                "give degrees from 0, a jitter in [0, 1) and a probability in [0, 1]."
            )

    def crop(self, center: NDArray[np.floating], side: float, size: int, seed: int) -> Crop:
        """Return a random crop, see :func:`crop_of`, from the random stream of ``seed``, in [0, 2**32)."""
        turn, jitter, flip = np.random.default_rng(seed).random(3)
        angle = self.rotation * (2 * turn - 1)
        factor = 1 + self.scale_jitter * (2 * jitter - 1)
        return crop_of(center, side / factor, size, angle, bool(flip < self.flip))


def crop_of(center: NDArray[np.floating], side: float, size: int, angle: float = 0.0, mirrored: bool = False) -> Crop:
    """Return the crop of a square.

    Args:
        center: (2,), center of the square in pixels of the image, (0, 0) the center of the first pixel.
        side: Side of the square in pixels of the image, > 0.
        size: Side of the crop in pixels.
        angle: Rotation of the content in degrees, counterclockwise.
        mirrored: Whether the content is then mirrored, x to size - 1 - x.
    """
    scale = size / side
    sine, cosine = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
    linear = scale * np.array([[cosine, sine], [-sine, cosine]])
    if mirrored:
        linear[0] *= -1
    # The center of the square maps to the center of the crop, which mirroring does not move.
    offset = (size - 1) / 2 - linear @ np.asarray(center, dtype=np.float64)
    return Crop(np.column_stack([linear, offset]), scale, mirrored)
