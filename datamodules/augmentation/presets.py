"""Augmentation of uint8 images with boxes or masks by albumentations, each sample from its own random stream."""

import random
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from datamodules.augmentation.checks import Transform, apply, refuse_unfit, single_transforms
from datamodules.augmentation.ssd_transforms import Boxes, Image, IoUCrop, PhotometricDistortion, ZoomOut
from lit_cv.errors import UserError

Preset = Literal["none", "flip", "ssd", "ssd_zoom"]
MaskPreset = Literal["none", "flip"]


class _Chain:
    """Transforms that are applied in order and share one random stream.

    Raises:
        UserError: If a transform does not fit the samples, see :func:`refuse_unfit`.
    """

    targets: ClassVar[tuple[str, ...]] = ()

    def __init__(self, transforms: Sequence[Transform], **options: Any) -> None:
        refuse_unfit(transforms, self.targets)
        with warnings.catch_warnings():  # that transforms of colors alone leave boxes in their place is no news
            warnings.filterwarnings("ignore", "Got processor for")
            self.compose = A.Compose(list(transforms), **options)

    def seeded(self, seed: int) -> list[Transform]:
        """Start the random stream of a sample and return the transforms, each for :func:`apply`.

        The checks of Compose.__call__ would take longer than the transforms of a preset.
        """
        # set_random_seed() would start every transform of the chain from the same seed: their samples would be equal,
        # so that, for example, exactly the flipped images would be darkened.
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        transforms: list[Transform] = self.compose.transforms
        return transforms


class Augmentation(_Chain):
    """A chain of albumentations transforms for images with boxes.

    Args:
        transforms: Applied in order.
    """

    targets = ("bboxes",)

    def __init__(self, transforms: Sequence[Transform]) -> None:
        boxes = A.BboxParams("albumentations", label_fields=["rows"])
        super().__init__(transforms, bbox_params=boxes, additional_targets={"proposals": "bboxes"})

    def __call__(self, image: Image, boxes: Boxes, seed: int) -> tuple[Image, Boxes, NDArray[np.int64]]:
        """Augment one sample.

        Args:
            image: uint8 (H, W, 3).
            boxes: float32 (N, 4), xyxy in pixels.
            seed: Seed of this sample's random stream, in [0, 2**32).

        Returns:
            The image, uint8 (H', W', 3); the remaining boxes, float32 (M, 4), inside the image and with an area; and
            for each of them its row in ``boxes``, int64 (M,).
        """
        return self.with_proposals(image, boxes, np.zeros((0, 4), np.float32), seed)[:3]

    def with_proposals(
        self, image: Image, boxes: Boxes, proposals: Boxes, seed: int
    ) -> tuple[Image, Boxes, NDArray[np.int64], Boxes]:
        """Augment one sample together with its proposals.

        Proposals move as boxes do but do not influence a transform: :class:`IoUCrop`, for example, chooses the same
        patch with and without them.

        Args:
            image: uint8 (H, W, 3).
            boxes: float32 (N, 4), xyxy in pixels.
            proposals: float32 (P, 4), xyxy in pixels.
            seed: Seed of this sample's random stream, in [0, 2**32).

        Returns:
            The result of :meth:`__call__`, and the remaining proposals, float32 (P', 4), inside the image and with an
            area, in their order.
        """
        height, width = image.shape[:2]
        size = np.array([width, height, width, height])
        others = {"proposals": _inside((proposals / size).astype(np.float32))}
        image, boxes, rows, moved = self.move(image, boxes, others, seed)
        height, width = image.shape[:2]
        return image, boxes, rows, moved["proposals"] * np.array([width, height, width, height], dtype=np.float32)

    def move(
        self, image: Image, boxes: Boxes, others: dict[str, Any], seed: int
    ) -> tuple[Image, Boxes, NDArray[np.int64], dict[str, Any]]:
        """Augment one sample together with other targets, which do not influence a transform.

        Args:
            image: uint8 (H, W, 3).
            boxes: float32 (N, 4), xyxy in pixels.
            others: Targets by their names in albumentations, in the form that its transforms take: ``masks`` uint8
                (N, H, W), ``keypoints`` float32 (P, 5 or more); and ``proposals``, float32 (P, 4), relative.
            seed: Seed of this sample's random stream, in [0, 2**32).

        Returns:
            The result of :meth:`__call__`, and all targets after the last transform.
        """
        height, width = image.shape[:2]
        relative = np.empty((len(boxes), 5), dtype=np.float32)
        relative[:, :4] = boxes / np.array([width, height, width, height])
        relative[:, 4] = np.arange(len(boxes))
        data: dict[str, Any] = {"image": image, "bboxes": _inside(relative), **others}
        for transform in self.seeded(seed):
            data = apply(transform, data)
            for key, columns in (("bboxes", 5), ("proposals", 4)):
                if key in data:
                    data[key] = _inside(np.asarray(data[key], dtype=np.float32).reshape(-1, columns))
        image, relative = data["image"], data["bboxes"]
        height, width = image.shape[:2]
        pixels = np.array([width, height, width, height], dtype=np.float32)
        return image, relative[:, :4] * pixels, relative[:, 4].astype(np.int64), data


class MaskAugmentation(_Chain):
    """A chain of albumentations transforms for images with class masks.

    Args:
        transforms: Applied in order. For a transform that pads the image, set ``fill_mask`` to 255 (void).
    """

    targets = ("mask",)

    def __call__(self, image: Image, mask: Image, seed: int) -> tuple[Image, Image]:
        """Augment one sample.

        Args:
            image: uint8 (H, W, 3).
            mask: uint8 (H, W), class indices; they are never interpolated.
            seed: Seed of this sample's random stream, in [0, 2**32).

        Returns:
            The image, uint8 (H', W', 3), and its mask, uint8 (H', W').
        """
        data: dict[str, Any] = {"image": image, "mask": mask}
        for transform in self.seeded(seed):
            data = apply(transform, data)
        return data["image"], np.ascontiguousarray(data["mask"])


class ColorAugmentation(_Chain):
    """A chain of albumentations transforms that change colors only; boxes stay where they are."""

    def __call__(self, image: Image, seed: int) -> Image:
        """Augment an image, uint8 (H, W, 3), with the random stream of ``seed``, in [0, 2**32)."""
        for transform in self.seeded(seed):
            image = apply(transform, {"image": image})["image"]
        return image


def _inside(boxes: Boxes) -> Boxes:
    """Clip relative boxes (N, 4 or more) to the image and drop those without area."""
    boxes[:, :4] = boxes[:, :4].clip(0, 1)
    return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


def make_augmentation(choice: Preset | Sequence[Transform]) -> Augmentation | None:
    """Return the augmentation of a preset or of a list of transforms; None for ``none``.

    ``flip`` mirrors an image with probability 1/2; ``ssd`` is the photometric distortion, patch sampling and mirroring
    of Liu et al. 2016 §2.2; ``ssd_zoom`` adds the zoom-out of their §3.6.

    Raises:
        UserError: If the preset is unknown.
    """
    if choice == "none":
        return None
    if choice == "flip":
        return Augmentation([A.HorizontalFlip(p=0.5)])
    if choice == "ssd":
        # The crop comes first: the distortion treats each pixel alone, and a patch has fewer pixels.
        return Augmentation([IoUCrop(p=1.0), PhotometricDistortion(p=1.0), A.HorizontalFlip(p=0.5)])
    if choice == "ssd_zoom":
        # The distortion comes first, as in Liu's code: the added border is the undistorted mean, and costs nothing.
        return Augmentation([PhotometricDistortion(p=1.0), ZoomOut(), IoUCrop(p=1.0), A.HorizontalFlip(p=0.5)])
    if isinstance(choice, str):
        raise UserError(
            f"augmentation={choice!r} is neither none, flip, ssd, ssd_zoom nor a list of albumentations transforms."
        )
    return Augmentation(choice)


def make_mask_augmentation(choice: MaskPreset | Sequence[Transform]) -> MaskAugmentation | None:
    """Return the augmentation of images with masks: ``flip`` or a list of transforms; None for ``none``.

    Raises:
        UserError: If the preset is another one; those of SSD sample patches around boxes, which masks lack.
    """
    if choice == "none":
        return None
    if choice == "flip":
        return MaskAugmentation([A.HorizontalFlip(p=0.5)])
    if isinstance(choice, str):
        raise UserError(
            f"augmentation={choice!r} is not for masks: choose none, flip or a list of albumentations transforms."
        )
    return MaskAugmentation(choice)


def make_color_augmentation(choice: Literal["none"] | Sequence[Transform]) -> ColorAugmentation | None:
    """Return the augmentation of images with phrases: a list of color transforms; None for ``none``.

    Raises:
        UserError: If it is a preset, or a transform moves pixels: phrases say "left of" and "behind".
    """
    if choice == "none":
        return None
    if isinstance(choice, str):
        raise UserError(f"augmentation={choice!r} is not for phrases: choose none or a list of color transforms.")
    made = ColorAugmentation(choice)
    for transform in single_transforms(choice):
        if not isinstance(transform, A.ImageOnlyTransform):
            raise UserError(
                f"augmentation has {type(transform).__name__}, which may move pixels, so that phrases such as 'left' "
                "would be wrong: take it out."
            )
    return made
