"""Put an image with its boxes, masks and joints onto a canvas: resized, shifted and cut off by a window."""

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.augmentation.mixing.base import Scene
from datamodules.augmentation.ssd_transforms import Boxes, Image
from datamodules.boxes.packed_boxes import Objects, kept_objects
from lit_cv.ops.mask_runs import MaskRuns, decode_masks, select_masks


class Place(NamedTuple):
    """Position of an image on a canvas, in pixels.

    Attributes:
        size: New width and height of the image.
        corner: x and y of its upper left corner; it may lie outside the canvas.
        window: x1, y1, x2, y2 of the part of the canvas that it may cover; inside the canvas.
    """

    size: tuple[int, int]
    corner: tuple[int, int]
    window: tuple[int, int, int, int]

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """The part of the canvas that the image covers, x1, y1, x2, y2; without an area if it lies outside."""
        (width, height), (x, y), (x1, y1, x2, y2) = self
        left, top = max(x, x1), max(y, y1)
        return left, top, max(left, min(x + width, x2)), max(top, min(y + height, y2))


def fitted(image: Image, longer: float) -> tuple[int, int]:
    """Return width and height of an image whose longer side becomes ``longer`` pixels, each at least 1."""
    height, width = image.shape[:2]
    factor = longer / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))


def size_of(image: Image) -> tuple[int, int]:
    """Return width and height of an image."""
    return image.shape[1], image.shape[0]


def put(scene: Scene, canvas: Image, place: Place, visible: float) -> Objects:
    """Draw an image onto a canvas and return its objects there.

    Args:
        scene: The image and its objects.
        canvas: uint8 (H, W, 3), changed in place.
        place: Where the image lies.
        visible: See :class:`Mixing`.

    Returns:
        The visible objects in pixels of the canvas; masks are uint8 (N, H, W). Boxes are clipped, ``area`` changes in
        proportion to them, and joints that are cut off become unlabeled.
    """
    left, top, right, bottom = place.seen
    x, y = place.corner
    canvas[top:bottom, left:right] = _resized(scene.image, place.size)[top - y : bottom - y, left - x : right - x]
    scale = np.array(place.size, np.float32) / np.array(size_of(scene.image), np.float32)
    objects = dict(scene.objects)
    masks = objects.pop("masks", None)
    whole = objects["boxes"] * np.tile(scale, 2) + np.tile(np.array(place.corner, np.float32), 2)
    boxes, rows = _clipped(whole, place, visible)
    if masks is not None:
        if isinstance(masks, MaskRuns):  # decoding is slow, and few objects of a large image may be in sight
            masks = select_masks(masks, torch.from_numpy(rows))
            pixels, shown = _moved_masks(dense(masks), canvas.shape[:2], place)
        else:
            pixels, shown = _moved_masks(masks[rows], canvas.shape[:2], place)
        boxes, rows = boxes[shown], rows[shown]
    objects = kept_objects(objects, boxes, rows)
    if "keypoints" in objects:
        objects["keypoints"] = _moved_joints(objects["keypoints"], scale, place)
    return objects if masks is None else {**objects, "masks": pixels}


def dense(masks: MaskRuns | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return masks as pixels, uint8 (N, H, W)."""
    return decode_masks(masks).numpy() if isinstance(masks, MaskRuns) else masks


def _resized(image: Image, size: tuple[int, int]) -> Image:
    if size_of(image) == size:
        return image
    # Bilinear interpolation misses pixels of images that become less than half as large.
    way = cv2.INTER_AREA if 2 * size[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


def _clipped(whole: Boxes, place: Place, visible: float) -> tuple[Boxes, NDArray[np.int64]]:
    """Return the clipped boxes of the objects that stay, float32 (K, 4), and their rows, int64 (K,)."""
    left, top, right, bottom = place.seen
    low, high = (np.array(corner * 2, np.float32) for corner in ((left, top), (right, bottom)))
    boxes = np.clip(whole, low, high)
    after, before = ((corners[:, 2:] - corners[:, :2]).prod(axis=1) for corners in (boxes, whole))
    rows = np.flatnonzero((after > 0) & (after >= visible * before))
    return boxes[rows], rows


def _moved_masks(
    masks: NDArray[np.uint8], canvas: tuple[int, ...], place: Place
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the masks with a visible pixel on the canvas, uint8 (K, H, W), and which of all these are, bool (N,)."""
    left, top, right, bottom = place.seen
    x, y = place.corner
    if masks.shape[1:] == place.size[::-1]:
        seen = masks[:, top - y : bottom - y, left - x : right - x]
    else:  # of each new pixel that is seen, the old one at its center
        columns, rows = (
            (2 * np.arange(low, high) + 1) * old // (2 * new)
            for low, high, old, new in (
                (left - x, right - x, masks.shape[2], place.size[0]),
                (top - y, bottom - y, masks.shape[1], place.size[1]),
            )
        )
        seen = masks.take(rows, axis=1).take(columns, axis=2)
    shown = np.asarray(seen.any(axis=(1, 2)))
    # Runs go down the columns: in this memory layout they are encoded without a copy.
    moved = np.zeros((int(shown.sum()), *canvas[::-1]), dtype=np.uint8).transpose(0, 2, 1)
    moved[:, top:bottom, left:right] = seen[shown]
    return moved, shown


def _moved_joints(joints: NDArray[np.float32], scale: NDArray[Any], place: Place) -> NDArray[np.float32]:
    left, top, right, bottom = place.seen
    xy = (joints[..., :2] + 0.5) * scale - 0.5 + np.array(place.corner, np.float32)
    inside = ((xy >= (left - 0.5, top - 0.5)) & (xy <= (right - 0.5, bottom - 0.5))).all(axis=2)
    labeled = (inside & (joints[..., 2] > 0))[..., None]
    return np.where(labeled, np.concatenate([xy, joints[..., 2:]], axis=2), 0).astype(np.float32)
