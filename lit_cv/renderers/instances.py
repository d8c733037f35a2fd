"""Drawing of instances with their boxes and, if present, masks and skeletons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lit_cv.ops.mask_runs import decode_masks
from lit_cv.ops.objects import Objects, masks_of
from lit_cv.ops.palette import Picture, strong_color
from lit_cv.ops.rle import compress_masks
from lit_cv.renderers.boxes import BoxRenderer
from lit_cv.renderers.canvas import enlarged, legible_zoom, outline_boxes, tint
from lit_cv.renderers.poses import PoseRenderer

_HALF = 0.5  # pixel: offset of the first pixel's center from the image corner, the origin of instance coordinates
_WANDB_MOST = 255  # maximum number of instances in one W&B mask


class InstanceRenderer(BoxRenderer):
    """Draw ``boxes`` with ``labels`` and, if present, ``scores``, masks (as runs) and ``keypoints``.

    Each instance has its own color, so that neighbors of one class can be distinguished.

    Args:
        class_names: Names of labels 1..C.
        score_threshold: Minimum score of the predictions that are shown, in [0, 1].
        poses: Renderer of the skeletons; None for data without keypoints.
    """

    def __init__(self, class_names: Sequence[str], score_threshold: float, poses: PoseRenderer | None = None) -> None:
        super().__init__(class_names, score_threshold)
        self.poses = poses

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Tint, outline and name the instances, the highest score on top; a small image is enlarged first."""
        objects = self.confident(objects)
        zoom = legible_zoom(image)
        picture = enlarged(image.permute(1, 2, 0), zoom)
        texts, order = self.names(objects), _order(objects)
        colors = [strong_color(index) for index in range(len(texts))]
        if "scores" in objects:
            texts = [f"{text} {score:.2f}" for text, score in zip(texts, objects["scores"].tolist(), strict=True)]
        if "mask_runs" in objects:
            masks = decode_masks(masks_of(objects))
            for index in order:
                tint(picture, enlarged(masks[index], zoom) > 0, colors[index])
        outline_boxes(picture, objects["boxes"] * zoom, texts, colors, order)
        if self.poses and "keypoints" in objects:
            # The third number of a prediction is a score, not a flag: all joints are drawn.
            keypoints = objects["keypoints"]
            keypoints = keypoints - keypoints.new_tensor(
                [_HALF, _HALF, 0]
            )  # origin of poses: center of the first pixel
            self.poses.draw_people(picture, keypoints[..., :2] if "scores" in objects else keypoints, zoom)
        return picture

    def describe(self, found: Objects) -> dict[str, Any]:
        """Return ``BoxRenderer.describe`` plus ``masks`` (COCO's compressed RLE) and ``keypoints`` ([x, y, score])."""
        found = self.confident(found)
        row = super().describe(found)
        if "mask_runs" in found:
            masks = masks_of(found)
            row["masks"] = [{"size": list(masks.size), "counts": text.decode()} for text in compress_masks(masks)]
        if "keypoints" in found:
            row["keypoints"] = found["keypoints"].tolist()
        return row

    def media(self, image: Tensor, target: Objects, found: Objects) -> dict[str, Any]:
        """Return the boxes and masks of target and prediction; none with keypoints, which W&B layers cannot show."""
        if "keypoints" in target:
            return {}
        layers = super().media(image, target, found)
        if "mask_runs" in target:
            both = {"ground_truth": target, "predictions": self.confident(found)}
            layers["masks"] = {name: self._wandb_masks(objects) for name, objects in both.items()}
        return layers

    def _wandb_masks(self, objects: Objects) -> dict[str, Any]:
        """Return a map of the instances, numbered from 1, because W&B masks hold one number per pixel."""
        masks = masks_of(objects)
        numbers: NDArray[np.uint8] = np.zeros(masks.size, np.uint8)
        dense, order = decode_masks(masks).cpu().numpy().astype(bool), _order(objects)[-_WANDB_MOST:]
        names = self.names(objects)
        for number, index in enumerate(order, start=1):
            numbers[dense[index]] = number
        return {
            "mask_data": numbers,
            "class_labels": {0: "background"} | {number: names[index] for number, index in enumerate(order, start=1)},
        }


def _order(objects: Objects) -> list[int]:
    """Return the drawing order: ascending scores, so that the highest is on top; targets in their own order."""
    scores: Tensor | None = objects.get("scores")
    return list(range(len(objects["labels"]))) if scores is None else scores.argsort().tolist()
