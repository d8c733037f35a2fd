"""Simple copy-paste of objects (Ghiasi et al. 2021)."""

from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from datamodules.augmentation.mixing.base import Another, Mixing, Scene, joined
from datamodules.augmentation.mixing.placing import Place, dense, put, size_of
from datamodules.augmentation.ssd_transforms import Boxes, Image
from datamodules.boxes.packed_boxes import Objects, kept_objects


class CopyPaste(Mixing):
    """Paste objects of another image along their masks ("Simple Copy-Paste", Ghiasi et al. 2021).

    A random subset of the other image's objects, of random number, is pasted where the objects lie there, without
    blending, which the paper found to make no difference. Crowds (``iscrowd`` 1) are not pasted. Covered pixels leave
    the masks of the objects below; their boxes shrink to what is visible, ``area`` changes with the mask, and their
    covered joints become hidden (flag 1). Objects that are covered entirely are dropped. The paper changes the scale of
    both images first: ``[ScaleJitter, CopyPaste]``.

    Args:
        p: Probability of pasting, in [0, 1].
        visible: Share that has to stay visible below pasted objects, see ``Mixing``.
    """

    needs_masks: ClassVar[bool] = True

    def __init__(self, p: float = 0.5, visible: float = 0.0) -> None:
        super().__init__(p, visible)

    def __call__(self, scene: Scene, another: Another, rng: Generator) -> Scene:
        """Return the sample with objects of another one."""
        source, canvas = another(), np.zeros_like(scene.image)
        place = Place(size_of(source.image), (0, 0), (0, 0, *size_of(scene.image)))
        objects = put(source, canvas, place, self.visible)
        single = np.flatnonzero(objects["iscrowd"] == 0)
        chosen = np.sort(rng.permutation(single)[: rng.integers(len(single), endpoint=True)])
        if not len(chosen):
            return scene
        pasted = {key: column[chosen] for key, column in objects.items()}
        cover: NDArray[np.bool_] = pasted["masks"].any(axis=0)
        image: Image = np.where(cover[..., None], canvas, scene.image)
        return Scene(image, joined([_below(scene.objects, cover, self.visible), pasted]))


def _below(objects: Objects, cover: NDArray[np.bool_], visible: float) -> Objects:
    """Return the objects that stay visible below pasted ones, which cover the pixels ``cover``, bool (H, W)."""
    objects = dict(objects)
    masks = dense(objects.pop("masks"))
    left = masks * ~cover
    before, after = (pixels.sum(axis=(1, 2), dtype=np.int64) for pixels in (masks, left))
    touched = after < before
    boxes = objects["boxes"].copy()
    boxes[touched] = _shrunk(boxes[touched], left[touched])
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    rows = np.flatnonzero(~touched | (has_area & (after > 0) & (after >= visible * before)))
    area = objects["area"] * np.where(touched, after / np.maximum(before, 1), 1).astype(np.float32)
    kept = kept_objects(objects, boxes[rows], rows) | {"area": area[rows]}
    if "keypoints" in kept:
        kept["keypoints"] = _hidden(kept["keypoints"], cover)
    return {**kept, "masks": left[rows]}


def _shrunk(boxes: Boxes, masks: NDArray[np.uint8]) -> Boxes:
    """Return the parts of boxes (N, 4) around the pixels of masks (N, H, W); boxes of empty masks have no area."""
    ends = np.zeros_like(boxes)
    for axis, down in enumerate((1, 2)):
        pixels = np.asarray(masks.any(axis=down))
        ends[:, axis] = pixels.argmax(axis=1)
        ends[:, axis + 2] = np.where(pixels.any(axis=1), pixels.shape[1] - pixels[:, ::-1].argmax(axis=1), 0)
    return np.concatenate([np.maximum(boxes[:, :2], ends[:, :2]), np.minimum(boxes[:, 2:], ends[:, 2:])], axis=1)


def _hidden(joints: NDArray[np.float32], cover: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return joints (N, K, 3) with the flag 1 in place of 2 where they are covered."""
    joints, (height, width) = joints.copy(), cover.shape
    x, y = (np.rint(joints[..., axis]).astype(int).clip(0, end - 1) for axis, end in ((0, width), (1, height)))
    joints[..., 2] = np.where(cover[y, x], np.minimum(joints[..., 2], 1), joints[..., 2])
    return joints
