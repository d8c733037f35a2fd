"""Augmentation of objects with boxes and masks, joints, or both."""

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from datamodules.augmentation.checks import refuse_unfit
from datamodules.augmentation.presets import Augmentation
from datamodules.augmentation.ssd_transforms import Image
from datamodules.boxes.packed_boxes import Objects, kept_objects
from lit_cv.errors import UserError

MIRRORS = (A.HorizontalFlip, A.VerticalFlip, A.Transpose, A.D4, A.SquareSymmetry)


def mirrors(augmentation: Augmentation | None) -> list[str]:
    """Return the names of the transforms of an augmentation that mirror images."""
    transforms = [] if augmentation is None else augmentation.compose.transforms
    return [type(transform).__name__ for transform in transforms if isinstance(transform, MIRRORS)]


def without_mirrors(augmentation: Augmentation | None) -> Augmentation | None:
    """Return an augmentation without the transforms that mirror images; None if nothing is left."""
    transforms = [] if augmentation is None else augmentation.compose.transforms
    kept = [transform for transform in transforms if not isinstance(transform, MIRRORS)]
    return Augmentation(kept) if kept else None


def refuse_unfit_for_masks(augmentation: Augmentation | None) -> None:
    """Check an augmentation of objects with masks.

    Raises:
        UserError: A transform interpolates masks, or adds pixels to them.
    """
    if augmentation is not None:
        refuse_unfit(augmentation.compose.transforms, (*augmentation.targets, "masks"))


def augment_instances(
    augmentation: Augmentation, image: Image, objects: Objects, mirrored: NDArray[np.int64] | None, seed: int
) -> tuple[Image, Objects]:
    """Augment one sample.

    Joints that move outside the image become unlabeled. If the transforms mirror the image in total, left and right
    joints swap: in a mirror, a left hand is a right hand.

    Args:
        augmentation: The transforms.
        image: uint8 (H, W, 3).
        objects: ``boxes``, see :meth:`PackedBoxes.objects`; optionally ``masks`` uint8 (N, H, W) and ``keypoints``
            float32 (N, K, 3), (0, 0) the center of the first pixel.
        mirrored: int64 (K,), for each joint the one whose place it takes in a mirrored image; None if unknown.
        seed: Seed of this sample's random stream, in [0, 2**32).

    Returns:
        The image, uint8 (H', W', 3), and the remaining objects; if no transform changed the masks, the same array of
        masks.

    Raises:
        UserError: If the transforms mirror the image, and ``mirrored`` is unknown.
    """
    objects, others = dict(objects), {}
    masks, joints = objects.pop("masks", None), objects.pop("keypoints", None)
    if masks is not None and len(masks):
        others["masks"] = masks
    if joints is not None:
        others["keypoints"] = _points(joints, image.shape[:2])
    image, boxes, rows, moved = augmentation.move(image, objects["boxes"], others, seed)
    objects = kept_objects(objects, boxes, rows)
    if masks is not None and len(masks):
        untouched = moved["masks"] is masks and len(rows) == len(masks)
        objects["masks"] = masks if untouched else moved["masks"][rows]
    elif masks is not None:
        objects["masks"] = np.zeros((0, *image.shape[:2]), dtype=np.uint8)
    if joints is not None:
        objects["keypoints"] = _joints(moved["keypoints"], joints, image.shape[:2], mirrored)[rows]
    return image, objects


def _points(joints: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the joints and three corners of the image, which show whether it gets mirrored, as albumentations' points.

    Returns:
        float32 (N * K + 3, 6): x, y, three columns for albumentations, and the number of the point.
    """
    height, width = size
    points = np.zeros((joints.shape[0] * joints.shape[1] + 3, 6), dtype=np.float32)
    points[:-3, :2] = joints[..., :2].reshape(-1, 2)
    points[-3:, :2] = (0, 0), (width, 0), (0, height)
    points[:, 5] = np.arange(len(points))
    return points


def _joints(
    moved: NDArray[np.float32], joints: NDArray[np.float32], size: tuple[int, ...], mirrored: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Return the joints after augmentation, float32 (N, K, 3); ``joints`` are those before it."""
    height, width = size
    places = np.full((joints.shape[0] * joints.shape[1] + 3, 2), np.nan, dtype=np.float32)
    places[moved[:, 5].astype(int)] = moved[:, :2]  # a transform may remove points
    right, down = places[-2:] - places[-3]
    moved_joints = np.concatenate([places[:-3].reshape(*joints.shape[:2], 2), joints[..., 2:]], axis=2)
    xy = moved_joints[..., :2]
    labeled = ((xy >= -0.5) & (xy <= (width - 0.5, height - 0.5))).all(axis=2) & (joints[..., 2] > 0)
    moved_joints[~labeled] = 0
    if right[0] * down[1] - right[1] * down[0] >= 0:
        return moved_joints
    if mirrored is None:
        raise UserError(
            "The augmentation mirrors an image, but it is not known which joints are left and right: set flip_pairs, "
            "or take the transform that mirrors out."
        )
    return moved_joints[:, mirrored]
