"""Checks of albumentations transforms: a trial when they are built, and a look at each sample that they return."""

import traceback
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import albumentations as A
import cv2
import numpy as np
from albumentations.core.serialization import Serializable

from lit_cv.errors import UserError

Transform: TypeAlias = Serializable
"""A transform of albumentations or a group of them: ``OneOf``, ``SomeOf``, ``Sequential``, ..."""

FILLS = ("fill_mask", "mask_drop_value")
"""Settings of transforms with the index of mask pixels that no pixel of the image corresponds to."""

_NEAREST = (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT)
_INDICES = (0, 9, 200, 255)  # of the mask of a trial; no mean of two of them is one of them


class Misfit(UserError):
    """A transform that fails on a sample; the data set adds the name of the image."""


def single_transforms(transforms: Iterable[Transform]) -> Iterator[A.BasicTransform]:
    """Yield the transforms, also those inside of groups."""
    for transform in transforms:
        if isinstance(transform, A.BaseCompose):
            yield from single_transforms(transform.transforms)
        else:
            yield transform


def refuse_unfit(transforms: Iterable[Transform], targets: Iterable[str] = ()) -> None:
    """Apply each transform to a small sample, and refuse those whose result no network takes.

    Args:
        transforms: The transforms and groups.
        targets: Targets of the samples besides the image: ``mask`` (class indices), ``masks`` (of objects), ``bboxes``.

    Raises:
        UserError: If a transform returns anything but an image uint8 (H, W, 3), needs a target that samples lack,
            interpolates masks, or adds pixels to the masks of objects.
    """
    rng = np.random.default_rng(0)
    sample = {
        "image": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        "mask": rng.choice(np.array(_INDICES, dtype=np.uint8), (64, 64)),
        "masks": rng.choice(np.array(_INDICES, dtype=np.uint8), (2, 64, 64)),
        "bboxes": np.array([[0.25, 0.25, 0.75, 0.75, 0]], dtype=np.float32),
    }
    for transform in single_transforms(transforms):
        data = {key: sample[key].copy() for key in ("image", *targets)}
        if what := _flaw(transform, data):
            raise UserError(f"augmentation has {type(transform).__name__}, {what}")


def apply(transform: Transform, data: dict[str, Any]) -> dict[str, Any]:
    """Apply a transform to a sample and check what it returns.

    Args:
        transform: A transform or a group.
        data: Image and targets by their names in albumentations.

    Raises:
        Misfit: If the transform fails, or no network takes its result.
    """
    height, width = data["image"].shape[:2]
    try:
        changed: dict[str, Any] = transform(**data)
    except Exception as error:  # albumentations and OpenCV raise many kinds of errors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Misfit(
            f"augmentation has {_culprit(transform, error)}, which fails on {width}x{height} pixels ({reason}): change "
            "its settings, or take it out."
        ) from None
    if what := _misfit(changed) or _left_behind(transform, (height, width), changed["image"]):
        raise Misfit(f"augmentation has {type(transform).__name__}, {what}")
    return changed


def _flaw(transform: A.BasicTransform, data: dict[str, Any]) -> str:
    """Return the reason to refuse a transform, as the rest of a sentence; empty if there is none."""
    size = data["image"].shape[:2]
    lacking = set(transform.targets_as_params) - data.keys()
    if not lacking:
        try:
            data = transform(force_apply=True, **data)
        except KeyError as error:
            lacking = {str(error.args[0])}
        except Exception:  # on so small a sample; `apply` names a transform that also fails on an image
            pass
    if lacking:
        return f"which needs {', '.join(sorted(lacking))}, and samples of this data have none: take it out."
    return _misfit(data) or _left_behind(transform, size, data["image"]) or _mask_flaw(transform, data)


def _mask_flaw(transform: A.BasicTransform, data: dict[str, Any]) -> str:
    """Return the reason to refuse a transform for the masks that it returned, as the rest of a sentence."""
    nearest = getattr(transform, "mask_interpolation", cv2.INTER_NEAREST) in _NEAREST
    fills = {key: getattr(transform, key, None) for key in FILLS}
    known = [*_INDICES, *(value for value in fills.values() if isinstance(value, int | float))]
    for target, content in (("mask", "class indices of masks"), ("masks", "the masks of objects")):
        if target in data and not (nearest and np.isin(data[target], known).all()):
            return f"which interpolates {content}: set its mask_interpolation to 0 (nearest), or take it out."
    filled = [key for key, value in fills.items() if value is not None and np.any(value)]
    if "masks" in data and filled:
        return f"which adds new pixels to the mask of every object: set its {filled[0]} to 0."
    return ""


def _misfit(data: dict[str, Any]) -> str:
    """Return the reason why no network takes a sample, as the rest of a sentence; empty if there is none."""
    image = data["image"]
    if not isinstance(image, np.ndarray):
        return f"which returns a {type(image).__name__}: take it out, images become tensors after the augmentation."
    if image.dtype != np.uint8:
        return f"which makes the image {image.dtype}: take it out, the network normalizes uint8 pixels itself."
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        return f"which returns an image of shape {image.shape} instead of (height, width, 3): change it or take it out."
    masks = [data[key] for key in ("mask", "masks") if key in data]
    if any(mask.shape[-2:] != image.shape[:2] or mask.dtype != np.uint8 for mask in masks):
        found = ", ".join(f"{mask.dtype} {mask.shape}" for mask in masks)
        return f"after which the mask, {found}, does not fit the image, {image.shape}: take it out."
    return ""


def _left_behind(transform: Transform, size: tuple[int, ...], image: np.ndarray) -> str:
    """Return the reason to refuse a transform that resizes the image alone, as the rest of a sentence."""
    if not isinstance(transform, A.ImageOnlyTransform) or image.shape[:2] == size:
        return ""
    return (
        f"which makes {image.shape[1]}x{image.shape[0]} pixels of {size[1]}x{size[0]} but, as an ImageOnlyTransform, "
        "leaves the targets in their place: derive it from DualTransform, or take it out."
    )


def _culprit(transform: Transform, error: Exception) -> str:
    """Return the name of the transform that raised the error; that of its group only if none of the transforms did."""
    owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    inner = [owner for owner in owners if isinstance(owner, A.BasicTransform)]
    return type(inner[-1] if inner else transform).__name__
