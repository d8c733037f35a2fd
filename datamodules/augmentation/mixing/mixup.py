"""MixUp of two images with their objects (Zhang et al. 2019)."""

import cv2
import numpy as np
from numpy.random import Generator

from datamodules.augmentation.mixing.base import Another, Mixing, Scene, joined
from datamodules.augmentation.mixing.placing import Place, put, size_of
from datamodules.augmentation.ssd_transforms import Image
from lit_cv.ops.limits import above_zero


class MixUp(Mixing):
    """Blend two images and keep the objects of both ("Bag of Freebies", Zhang et al. 2019, section 3.1).

    Both images keep their size and share the upper left corner of a black canvas that holds them. The share of the
    sample is sampled from Beta(``alpha``, ``alpha``), that of the other image is the rest. All objects count fully, as
    in YOLOX (Ge et al. 2021), which mixes in equal shares; the paper's code (GluonCV) weights the objectness of YOLOv3
    by the share of the image.

    Args:
        alpha: Parameter of the distribution, above 0; 1.5 in the paper.
        p: Probability of a mixture, in [0, 1].
    """

    def __init__(self, alpha: float = 1.5, p: float = 0.5) -> None:
        super().__init__(p, visible=0.0)
        above_zero(alpha=alpha)
        self.alpha = alpha

    def __call__(self, scene: Scene, another: Another, rng: Generator) -> Scene:
        """Return the blend of the sample and another one."""
        share, scenes = rng.beta(self.alpha, self.alpha), (scene, another())
        width, height = (max(sides) for sides in zip(*(size_of(part.image) for part in scenes), strict=True))
        images: list[Image] = [np.zeros((height, width, 3), dtype=np.uint8) for _ in scenes]
        parts = [
            put(part, image, Place(size_of(part.image), (0, 0), (0, 0, width, height)), self.visible)
            for part, image in zip(scenes, images, strict=True)
        ]
        blend = cv2.addWeighted(images[0], share, images[1], 1 - share, 0)
        return Scene(np.asarray(blend, dtype=np.uint8), joined(parts))
