"""Drawing of class masks over their images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_cv.ops.objects import Objects
from lit_cv.ops.palette import VOID, Picture
from lit_cv.renderers.base import Renderer
from lit_cv.renderers.canvas import draw_mask, write_mask


class MaskRenderer(Renderer):
    """Draw ``mask``, uint8 (H, W): 0 background, 1..C, 255 void.

    Args:
        class_names: Names of labels 1..C.
    """

    SUFFIXES = (".png", "_mask.png")

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = list(class_names)

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Color and name the classes; all pictures of one image have the same size. See ``draw_mask``."""
        return draw_mask(image, objects["mask"], self.class_names)

    def describe(self, found: Objects) -> dict[str, Any]:
        """Return ``share``: the fraction of the image's pixels of each predicted class, the largest first."""
        counts = torch.bincount(found["mask"].flatten()).tolist()
        labels = sorted((label for label, count in enumerate(counts) if count), key=lambda label: -counts[label])
        total = found["mask"].numel()
        return {"share": {self._labels()[label]: counts[label] / total for label in labels}}

    def media(self, image: Tensor, target: Objects, found: Objects) -> dict[str, Any]:
        """Return the masks of target and prediction."""
        layers = {"ground_truth": target, "predictions": found}
        return {
            "masks": {
                name: {"mask_data": objects["mask"].cpu().numpy(), "class_labels": self._labels()}
                for name, objects in layers.items()
            }
        }

    def write(self, folder: Path, name: str, image: Tensor, found: Objects) -> dict[str, Any]:
        """Also write ``<name>_mask.png`` (class indices with VOC's palette) and add its name to the row."""
        row = super().write(folder, name, image, found)
        write_mask(folder / f"{name}_mask.png", found["mask"])
        return {"mask": f"{name}_mask.png", **row}

    def _labels(self) -> dict[int, str]:
        return dict(enumerate(["background", *self.class_names])) | {VOID: "void"}
