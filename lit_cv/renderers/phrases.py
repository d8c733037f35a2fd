"""Boxes with phrases."""

from typing import Any

import torch
from torch import Tensor

from lit_cv.ops.objects import Objects, rows_of
from lit_cv.ops.palette import Picture
from lit_cv.renderers.boxes import BoxRenderer
from lit_cv.renderers.canvas import enlarged, legible_zoom, outline_boxes, strong_color


class PhraseRenderer(BoxRenderer):
    """Draws `boxes` with `phrases` and, of predictions, `scores`.

    Args:
        score_threshold: Predictions with a lower score, in [0, 1], are left out.
        most: So many boxes are drawn, the best, or the first ones of a target: the text of all would hide the image.
    """

    def __init__(self, score_threshold: float, most: int = 12) -> None:
        super().__init__(["region"], score_threshold)
        self.most = most

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Outline the boxes and write their phrases on them, the best on top; a small image is enlarged first."""
        objects = self._few(objects)
        zoom = legible_zoom(image)
        picture = enlarged(image.permute(1, 2, 0), zoom)
        texts = self.names(objects)
        if "scores" in objects:
            texts = [f"{score:.2f} {text}" for text, score in zip(texts, objects["scores"].tolist(), strict=True)]
        colors = [strong_color(index) for index in range(len(texts))]
        outline_boxes(picture, objects["boxes"] * zoom, texts, colors, range(len(texts))[::-1])
        return picture

    def describe(self, found: Objects) -> dict[str, Any]:
        """`boxes` (xyxy in pixels of the image), `scores` and `phrases`."""
        found = self.confident(found)
        return {"boxes": found["boxes"].tolist(), "scores": found["scores"].tolist(), "phrases": self.names(found)}

    def names(self, objects: Objects) -> list[str]:
        """The phrases."""
        return list(objects["phrases"])

    def wandb_boxes(self, objects: Objects) -> dict[str, Any]:
        """The boxes as a layer of a `wandb.Image`; all are of one class."""
        return super().wandb_boxes({**objects, "labels": torch.ones(len(objects["phrases"]), dtype=torch.int64)})

    def _few(self, objects: Objects) -> Objects:
        objects = self.confident(objects)
        count = len(objects["phrases"])
        order = objects["scores"].argsort(descending=True) if "scores" in objects else torch.arange(count)
        shown = {name: objects[name] for name in ("boxes", "phrases", "scores") if name in objects}
        return rows_of(shown, order[: self.most])
