"""Drawing of boxes with phrases."""

from typing import Any

import torch
from torch import Tensor

from lit_cv.ops.objects import Objects, rows_of
from lit_cv.ops.palette import Picture, strong_color
from lit_cv.renderers.boxes import BoxRenderer
from lit_cv.renderers.canvas import enlarged, legible_zoom, outline_boxes


class PhraseRenderer(BoxRenderer):
    """Draw ``boxes`` with ``phrases`` and, for predictions, ``scores``.

    Args:
        score_threshold: Minimum score of the predictions that are shown, in [0, 1].
        most: Maximum number of boxes drawn, because more text would hide the image. Predictions with the highest
            scores are chosen, or the first boxes of a target.
    """

    def __init__(self, score_threshold: float, most: int = 12) -> None:
        super().__init__(["region"], score_threshold)
        self.most = most

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Outline the boxes and label them with their phrases, the best on top; a small image is enlarged first."""
        objects = self._few(objects)
        zoom = legible_zoom(image)
        picture = enlarged(image.permute(1, 2, 0), zoom)
        texts = self.names(objects)
        if "scores" in objects:
            texts = [f"{score:.2f} {text}" for text, score in zip(texts, objects["scores"].tolist(), strict=True)]
        colors = [strong_color(index) for index in range(len(texts))]
        outline_boxes(picture, objects["boxes"] * zoom, texts, colors, range(len(texts))[::-1])
        return picture

    def shown(self, found: Objects) -> int:
        """Return the number of predictions that ``draw`` shows."""
        return min(super().shown(found), self.most)

    def describe(self, found: Objects) -> dict[str, Any]:
        """Return ``boxes`` (xyxy in pixels of the image), ``scores`` and ``phrases``."""
        found = self.confident(found)
        return {"boxes": found["boxes"].tolist(), "scores": found["scores"].tolist(), "phrases": self.names(found)}

    def names(self, objects: Objects) -> list[str]:
        """Return the phrases."""
        return list(objects["phrases"])

    def wandb_boxes(self, objects: Objects) -> dict[str, Any]:
        """Return the boxes as a layer of a ``wandb.Image``; all have the same class."""
        return super().wandb_boxes({**objects, "labels": torch.ones(len(objects["phrases"]), dtype=torch.int64)})

    def _few(self, objects: Objects) -> Objects:
        objects = self.confident(objects)
        count = len(objects["phrases"])
        order = objects["scores"].argsort(descending=True) if "scores" in objects else torch.arange(count)
        shown = {name: objects[name] for name in ("boxes", "phrases", "scores") if name in objects}
        return rows_of(shown, order[: self.most])
