"""Interface between a task and the callbacks that draw its targets and predictions."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from lit_cv.ops.objects import Objects
from lit_cv.ops.palette import Picture
from lit_cv.renderers.canvas import captioned, write_png


class Renderer(ABC):
    """Draw targets and predictions of one task; created by the task (``Task.renderer``).

    Attributes:
        SUFFIXES: Endings of the files that ``write`` creates.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".png",)

    @abstractmethod
    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Draw a target or a prediction into its image.

        Args:
            image: uint8 (3, H, W) RGB; not modified.
            objects: A target or a prediction of the task.

        Returns:
            uint8 (H', W', 3) RGB.
        """

    @abstractmethod
    def describe(self, found: Objects) -> dict[str, Any]:
        """Return a prediction as plain data for ``predictions.json``."""

    def caption(self, found: Objects) -> str:
        """Return a line about a prediction for its picture: what of it is shown."""
        return "predictions"

    def media(self, image: Tensor, target: Objects, found: Objects) -> dict[str, Any]:
        """Return toggleable layers (``boxes`` or ``masks``) for a ``wandb.Image`` of this image; none by default."""
        return {}

    def write(self, folder: Path, name: str, image: Tensor, found: Objects) -> dict[str, Any]:
        """Write ``<name>.png``, the prediction drawn under a caption, and return its row of ``predictions.json``."""
        write_png(folder / f"{name}.png", captioned(self.draw(image, found), f"{name}: {self.caption(found)}"))
        return self.describe(found)
