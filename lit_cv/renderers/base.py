"""What the callbacks that draw need to know of a task."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lit_cv.drawing import Picture, write_png
from lit_cv.ops.runs import MaskRuns, select_masks

MASK_KEYS = ("mask_runs", "mask_lengths", "mask_size")
Objects = Mapping[str, Any]
"""A target of the data, or a prediction of the network, for one image: tensors, and lists of text."""


def rows_of(objects: Objects, rows: Tensor) -> Objects:
    """The objects at int64 (K,) positions, in their order: rows of tensors, items of lists, and masks as runs."""
    taken: dict[str, Any] = {
        name: [column[row] for row in rows.tolist()] if isinstance(column, list) else column[rows]
        for name, column in objects.items()
        if name not in MASK_KEYS
    }
    if "mask_runs" in objects:
        masks = select_masks(mask_runs(objects), rows)
        taken |= zip(MASK_KEYS, (masks.runs, masks.lengths, objects["mask_size"]), strict=True)
    return taken


def mask_runs(objects: Objects) -> MaskRuns:
    """The masks of a target or a prediction."""
    height, width = objects["mask_size"].tolist()
    return MaskRuns(objects["mask_runs"], objects["mask_lengths"], (height, width))


class Renderer(ABC):
    """Draws targets and predictions of one task; a task makes it (``Task.renderer``)."""

    @abstractmethod
    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Draw a target or a prediction into its image.

        Args:
            image: uint8 (3, H, W) RGB; left as it is.
            objects: A target or a prediction of the task.

        Returns:
            uint8 (H', W', 3) RGB.
        """

    @abstractmethod
    def describe(self, found: Objects) -> dict[str, Any]:
        """A prediction as plain data for `predictions.json`."""

    def media(self, image: Tensor, target: Objects, found: Objects) -> dict[str, Any]:
        """Layers of a `wandb.Image` of this image that can be toggled: its `boxes` or `masks`, none by default."""
        return {}

    def write(self, folder: Path, name: str, image: Tensor, found: Objects) -> dict[str, Any]:
        """Write `<name>.png`, the prediction drawn into its image, and return its row of `predictions.json`."""
        write_png(folder / f"{name}.png", self.draw(image, found))
        return self.describe(found)
