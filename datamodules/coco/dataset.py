"""COCO's images with the masks and joints of their objects."""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.augmentation.presets import Augmentation
from datamodules.augmentation.ssd_transforms import Boxes, Image
from datamodules.boxes.dataset import DetectionDataset
from datamodules.boxes.packed_boxes import Objects
from datamodules.coco.augmentation import augment_instances
from datamodules.coco.packed_coco import PackedCOCO
from lit_cv.contract import Target
from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks


class InstanceDataset(DetectionDataset):
    """Maps (epoch, index) to an image and its target, that of :class:`DetectionDataset` and more.

    With masks, targets have ``mask_runs`` int64 (R,), ``mask_lengths`` int64 (N,) and ``mask_size`` int64 (2,), height
    and width, see :class:`MaskRuns`. With joints, they have ``keypoints`` float32 (N, K, 3): x and y in pixels, (0, 0)
    the corner of the image as for boxes, and the flag 0 not labeled (and x = y = 0), 1 labeled but hidden, 2 labeled
    and visible.

    COCO's joints are indices of pixels, 0 to W - 1; its boxes and masks extend from edge to edge, 0 to W. A keypoint
    head looks for the cell of a joint in its box, so both must count from the same corner. Without an offset of half a
    pixel, a joint is off by one of 56 cells in a box of 28 pixels but by a tenth of a cell in a box of 280 pixels; the
    head cannot learn this, because all boxes look equally large to it. Therefore the half pixel is added to the targets
    here, as in detectron2; torchvision's references omit it. OKS compares targets and predictions in the same
    coordinates and does not change. Subtract the half pixel from predictions for the official server.

    Args:
        masks: Whether targets have masks.
        mirrored: int64 (K,), for each joint the one that replaces it in a mirrored image; None if unknown.
        options: Those of :class:`DetectionDataset`.
    """

    packed: PackedCOCO

    def __init__(self, *args: Any, masks: bool, mirrored: NDArray[np.int64] | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.masks, self.mirrored = masks, mirrored

    def _objects(self, index: int) -> Objects:
        objects, table, owner = super()._objects(index), self.packed, self.owner(index)
        (width, height), old = self.sizes[index].tolist(), table.sizes[owner]
        same = owner == index and self.scale(index) is None
        if not same and "keypoints" in objects:
            joints = objects["keypoints"]
            moved = (joints[..., :2] + 0.5) * ((width, height) / old).astype(np.float32) - 0.5
            joints[..., :2] = np.where(joints[..., 2:] > 0, moved, 0)
        if self.masks:
            masks = table.masks(self._rows(owner), (int(old[1]), int(old[0])))
            objects["masks"] = masks if same else _resized(masks, (width, height))
        return objects

    def _augmented(
        self, augmentation: Augmentation, image: Image, objects: Objects, proposals: Boxes, chance: int
    ) -> tuple[Image, Objects, Boxes]:
        runs, pixels = objects.get("masks"), None
        if isinstance(runs, MaskRuns):  # they are pixels after a mixing
            objects["masks"] = pixels = decode_masks(runs).numpy()
        image, objects = augment_instances(augmentation, image, objects, self.mirrored, chance)
        if (
            pixels is not None and objects["masks"] is pixels
        ):  # encoding is slow, and half of the images are not flipped
            objects["masks"] = runs
        return image, objects, proposals

    def _target(self, objects: Objects) -> Target:
        masks: MaskRuns | NDArray[np.uint8] | None = objects.pop("masks", None)
        target = super()._target(objects)
        if "keypoints" in target:
            joints = target["keypoints"]
            joints[..., :2] += 0.5 * (joints[..., 2:] > 0)
        if masks is not None:
            masks = masks if isinstance(masks, MaskRuns) else encode_masks(torch.from_numpy(masks))
            target |= {
                "mask_runs": masks.runs,
                "mask_lengths": masks.lengths,
                "mask_size": torch.tensor(masks.size, dtype=torch.int64),
            }
        return target


def _resized(masks: MaskRuns, size: tuple[int, int]) -> MaskRuns:
    """Resize masks to (width, height), taking the nearest pixel."""
    pixels = [cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT) for mask in decode_masks(masks).numpy()]
    return encode_masks(torch.from_numpy(np.array(pixels, dtype=np.uint8).reshape(-1, size[1], size[0])))
