"""Drawing of boxes with the names of their classes."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lit_cv.ops.objects import Objects, rows_of
from lit_cv.ops.palette import Picture
from lit_cv.renderers.base import Renderer
from lit_cv.renderers.canvas import draw_boxes


class BoxRenderer(Renderer):
    """Draw ``boxes`` with ``labels`` and, for predictions, ``scores``.

    Args:
        class_names: Names of labels 1..C.
        score_threshold: Minimum score of the predictions that are shown, in [0, 1].
    """

    def __init__(self, class_names: Sequence[str], score_threshold: float) -> None:
        self.class_names, self.score_threshold = list(class_names), score_threshold

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Outline and name the boxes; see ``draw_boxes``."""
        objects = self.confident(objects)
        return draw_boxes(image, objects["boxes"], objects["labels"], self.class_names, objects.get("scores"))

    def describe(self, found: Objects) -> dict[str, Any]:
        """Return ``boxes`` (xyxy in pixels of the image), ``scores`` (descending) and ``labels`` (class names)."""
        found = self.confident(found)
        return {"boxes": found["boxes"].tolist(), "scores": found["scores"].tolist(), "labels": self.names(found)}

    def caption(self, found: Objects) -> str:
        """Return how many of the predictions are shown, and the threshold."""
        total, shown = len(found["scores"]), self.shown(found)
        if not shown:
            return f"nothing >= {self.score_threshold:g} ({total} below)"
        return f"{shown} of {total} shown, >= {self.score_threshold:g}"

    def shown(self, found: Objects) -> int:
        """Return the number of predictions that ``draw`` shows."""
        return len(self.confident(found)["scores"])

    def media(self, image: Tensor, target: Objects, found: Objects) -> dict[str, Any]:
        """Return the boxes of target and prediction."""
        layers = {"ground_truth": target, "predictions": self.confident(found)}
        return {"boxes": {name: self.wandb_boxes(objects) for name, objects in layers.items()}}

    def confident(self, objects: Objects) -> Objects:
        """Return the objects with a score of at least the threshold; objects without scores are all returned."""
        if "scores" not in objects:
            return objects
        return rows_of(objects, (objects["scores"] >= self.score_threshold).nonzero()[:, 0])

    def names(self, objects: Objects) -> list[str]:
        """Return the texts of the boxes without scores: the names of their classes."""
        return [self.class_names[label - 1] for label in objects["labels"].tolist()]

    def wandb_boxes(self, objects: Objects) -> dict[str, Any]:
        """Return the boxes as a layer of a ``wandb.Image``."""
        scores = objects["scores"].tolist() if "scores" in objects else None
        rows = []
        columns = zip(objects["boxes"].tolist(), objects["labels"].tolist(), self.names(objects), strict=True)
        for index, ((x1, y1, x2, y2), label, name) in enumerate(columns):
            row: dict[str, Any] = {
                "position": {"minX": x1, "minY": y1, "maxX": x2, "maxY": y2},
                "domain": "pixel",
                "class_id": label,
                "box_caption": name,
            }
            if scores is not None:
                row["scores"] = {"score": scores[index]}
                row["box_caption"] += f" {scores[index]:.2f}"
            rows.append(row)
        return {"box_data": rows, "class_labels": dict(enumerate(self.class_names, start=1))}


class TopBoxRenderer(BoxRenderer):
    """Render tasks with one box per image: draw the first predicted box and describe the first five.

    Every image has exactly one object, so there is no score threshold.

    Args:
        class_names: Names of labels 1..C.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__(class_names, score_threshold=0.0)

    def caption(self, found: Objects) -> str:
        """Return that the first of the predicted boxes is shown."""
        return f"first of {len(found['scores'])} boxes"

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Outline and name the box of a target, or the first one of a prediction."""
        return super().draw(image, _first(objects, 1))

    def describe(self, found: Objects) -> dict[str, Any]:
        """Return ``BoxRenderer.describe`` of the first five boxes."""
        return super().describe(_first(found, 5))

    def media(self, image: Tensor, target: Objects, found: Objects) -> dict[str, Any]:
        """Return the boxes of target and prediction."""
        return super().media(image, target, _first(found, 1))


def _first(objects: Objects, count: int) -> Objects:
    """Return the first rows of a prediction; a target (it has no scores) is returned unchanged."""
    return {name: column[:count] for name, column in objects.items()} if "scores" in objects else objects
