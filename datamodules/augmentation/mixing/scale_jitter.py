"""Large-scale jitter (Ghiasi et al. 2021)."""

import numpy as np
from numpy.random import Generator

from datamodules.augmentation.mixing.base import Another, Scene
from datamodules.augmentation.mixing.canvas import CanvasMixing
from datamodules.augmentation.mixing.placing import Place, put


class ScaleJitter(CanvasMixing):
    """Resize an image by a random factor, then crop or pad it to a square ("Simple Copy-Paste", Ghiasi et al. 2021).

    The longer side becomes a random share of the square, and the aspect ratio stays. A larger image is cropped at a
    random place; a smaller one lies at the upper left, and the mean color fills the rest. The paper's large-scale
    jitter samples the share from 0.1 to 2.0, its standard jitter from 0.8 to 1.25, both for a square of 1024 pixels.

    It mixes nothing itself; before :class:`CopyPaste` it changes both images.

    Args:
        size: See ``CanvasMixing``.
        scale: Range of the longer side of the image, as a share of the square; above 1 it is cropped.
        p: Probability of another scale, in [0, 1].
        visible: Share that has to stay visible in the crop, see ``Mixing``.
    """

    def __init__(
        self, size: int = 1024, scale: tuple[float, float] = (0.1, 2.0), p: float = 1.0, visible: float = 0.0
    ) -> None:
        super().__init__(size, scale, p=p, visible=visible)

    def __call__(self, scene: Scene, another: Another, rng: Generator) -> Scene:
        """Return the sample in another size."""
        canvas = self.canvas()
        new = self.resized(scene.image, rng)
        x, y = rng.integers(np.maximum(np.array(new) - self.size, 0), endpoint=True).tolist()
        place = Place(new, (-x, -y), (0, 0, self.size, self.size))
        return Scene(canvas, put(scene, canvas, place, self.visible))
