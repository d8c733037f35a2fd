"""The mosaic of four images (Bochkovskiy et al. 2020)."""

import numpy as np
from numpy.random import Generator

from datamodules.augmentation.mixing.base import Another, Scene, joined
from datamodules.augmentation.mixing.canvas import CanvasMixing
from datamodules.augmentation.mixing.placing import Place, put


class Mosaic(CanvasMixing):
    """Put four images around a random point of a square canvas (YOLOv4, Bochkovskiy et al. 2020, section 3.3).

    The point lies in the middle half of the canvas, in whole pixels. Each image touches it with a corner: the sample
    itself lies at the upper left, the others at the upper right, the lower left and the lower right. Each one is
    resized with its aspect ratio to a random share of the canvas and is cut off at its quarter; the mean color fills
    the rest. The paper leaves these details to its code; the corners at one point are as in Ultralytics' YOLO.

    Args:
        size: See ``CanvasMixing``, at least 2.
        scale: Range of the longer side of each of the four images, as a share of the canvas.
        p: Probability of a mosaic, in [0, 1].
        visible: Share that has to stay visible in a tile, see ``Mixing``.
    """

    SMALLEST = 2

    def __init__(
        self, size: int = 640, scale: tuple[float, float] = (0.5, 1.0), p: float = 0.5, visible: float = 0.1
    ) -> None:
        super().__init__(size, scale, p=p, visible=visible)

    def __call__(self, scene: Scene, another: Another, rng: Generator) -> Scene:
        """Return the mosaic of the sample and three others."""
        canvas = self.canvas()
        x, y = np.rint(rng.uniform(0.25, 0.75, 2) * self.size).astype(int).tolist()
        parts = []
        for number in range(4):
            part = scene if number == 0 else another()
            width, height = self.resized(part.image, rng)
            right, lower = number % 2, number // 2
            corner = x - width * (1 - right), y - height * (1 - lower)
            window = (x * right, y * lower, self.size if right else x, self.size if lower else y)
            parts.append(put(part, canvas, Place((width, height), corner, window), self.visible))
        return Scene(canvas, joined(parts))
