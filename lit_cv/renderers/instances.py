"""Instances: each with its mask, its box and its skeleton, as far as it has them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lit_cv.ops.mask_runs import decode_masks
from lit_cv.ops.objects import Objects, masks_of
from lit_cv.ops.palette import Picture
from lit_cv.ops.rle import compress_masks
from lit_cv.renderers.boxes import BoxRenderer
from lit_cv.renderers.canvas import enlarged, legible_zoom, outline_boxes, strong_color, tint
from lit_cv.renderers.poses import PoseRenderer

_HALF = 0.5  # of a pixel: between the corner of the image, from which instances are measured, and its first centre
_WANDB_MOST = 255  # numbers in one of its masks


class InstanceRenderer(BoxRenderer):
    """Draws `boxes` with `labels` and, where there are, `scores`, masks (as runs) and `keypoints`.

    Each instance has a colour of its own, so that neighbours of one class can be told apart.

    Args:
        class_names: Names of labels 1..C.
        score_threshold: Predictions with a lower score, in [0, 1], are left out.
        poses: Draws the skeletons; None for data without keypoints.
    """

    def __init__(self, class_names: Sequence[str], score_threshold: float, poses: PoseRenderer | None = None) -> None:
        super().__init__(class_names, score_threshold)
        self.poses = poses

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Tint, outline and name the instances, the best on top; a small image is enlarged first."""
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
            # Of a prediction the third number is a score, which may be anything: all joints are drawn.
            keypoints = objects["keypoints"]
            keypoints = keypoints - keypoints.new_tensor([_HALF, _HALF, 0])  # poses count from the first pixel's centre
            self.poses.draw_people(picture, keypoints[..., :2] if "scores" in objects else keypoints, zoom)
        return picture

    def describe(self, found: Objects) -> dict[str, Any]:
        """As `BoxRenderer.describe`, and `masks` (COCO's compressed RLE) and `keypoints` ([x, y, score] each)."""
        found = self.confident(found)
        row = super().describe(found)
        if "mask_runs" in found:
            masks = masks_of(found)
            row["masks"] = [{"size": list(masks.size), "counts": text.decode()} for text in compress_masks(masks)]
        if "keypoints" in found:
            row["keypoints"] = found["keypoints"].tolist()
        return row

    def media(self, image: Tensor, target: Objects, found: Objects) -> dict[str, Any]:
        """The boxes and masks of target and prediction; none with keypoints, which W&B's layers cannot show."""
        if "keypoints" in target:
            return {}
        layers = super().media(image, target, found)
        if "mask_runs" in target:
            both = {"ground_truth": target, "predictions": self.confident(found)}
            layers["masks"] = {name: self._wandb_masks(objects) for name, objects in both.items()}
        return layers

    def _wandb_masks(self, objects: Objects) -> dict[str, Any]:
        """A map of the instances, numbered from 1: W&B's masks hold one number a pixel."""
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
    """The best last, so that it lies on top; targets as they come."""
    scores: Tensor | None = objects.get("scores")
    return list(range(len(objects["labels"]))) if scores is None else scores.argsort().tolist()
