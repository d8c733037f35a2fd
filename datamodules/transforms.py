"""Augmentation of uint8 images with boxes or masks by albumentations, each sample from its own random stream."""

import random
from collections.abc import Sequence
from typing import Any, Literal

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError

Preset = Literal["none", "flip", "ssd", "ssd_zoom"]
MaskPreset = Literal["none", "flip"]
Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


class _Chain:
    """Transforms applied in order, all of them drawing from one random stream."""

    def __init__(self, transforms: Sequence[A.BasicTransform], **options: Any) -> None:
        self.compose = A.Compose(list(transforms), **options)

    def seeded(self, seed: int) -> list[A.BasicTransform]:
        """Start the random stream of a sample and return the transforms.

        To be called one by one: the checks of Compose.__call__ cost more time than the transforms of a preset.
        """
        # Not set_random_seed(), which starts every transform of the chain from the same seed: their draws would be
        # equal and, say, exactly the flipped images would be the darkened ones.
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        transforms: list[A.BasicTransform] = self.compose.transforms
        return transforms


class Augmentation(_Chain):
    """A chain of albumentations transforms for images with boxes.

    Args:
        transforms: Applied in order.
    """

    def __init__(self, transforms: Sequence[A.BasicTransform]) -> None:
        boxes = A.BboxParams("albumentations", label_fields=["rows"])
        super().__init__(transforms, bbox_params=boxes, additional_targets={"proposals": "bboxes"})

    def __call__(self, image: Image, boxes: Boxes, seed: int) -> tuple[Image, Boxes, NDArray[np.int64]]:
        """Augment one sample.

        Args:
            image: uint8 (H, W, 3).
            boxes: float32 (N, 4), xyxy in pixels.
            seed: Seed of this sample's random stream, in [0, 2**32).

        Returns:
            The image, uint8 (H', W', 3); the boxes that are left, float32 (M, 4), inside the image and with an area;
            and for each of them its row in ``boxes``, int64 (M,).
        """
        return self.with_proposals(image, boxes, np.zeros((0, 4), np.float32), seed)[:3]

    def with_proposals(
        self, image: Image, boxes: Boxes, proposals: Boxes, seed: int
    ) -> tuple[Image, Boxes, NDArray[np.int64], Boxes]:
        """Augment one sample together with its proposals.

        They are moved as the boxes are, but have no say in what a transform does: :class:`IoUCrop`, for instance,
        chooses the patch that it chooses without them.

        Args:
            image: uint8 (H, W, 3).
            boxes: float32 (N, 4), xyxy in pixels.
            proposals: float32 (P, 4), xyxy in pixels.
            seed: Seed of this sample's random stream, in [0, 2**32).

        Returns:
            What :meth:`__call__` returns, and the proposals that are left, float32 (P', 4), inside the image and with
            an area, in their order.
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
        """Augment one sample together with other targets, which have no say in what a transform does.

        Args:
            image: uint8 (H, W, 3).
            boxes: float32 (N, 4), xyxy in pixels.
            others: Targets by their names in albumentations, as its transforms take them: ``masks`` uint8 (N, H, W),
                ``keypoints`` float32 (P, 5 or more); and ``proposals``, float32 (P, 4), relative.
            seed: Seed of this sample's random stream, in [0, 2**32).

        Returns:
            What :meth:`__call__` returns, and all targets after the last transform.
        """
        height, width = image.shape[:2]
        relative = np.empty((len(boxes), 5), dtype=np.float32)
        relative[:, :4] = boxes / np.array([width, height, width, height])
        relative[:, 4] = np.arange(len(boxes))
        data: dict[str, Any] = {"image": image, "bboxes": _inside(relative), **others}
        for transform in self.seeded(seed):
            data = transform(**data)
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
        transforms: Applied in order. Where one shows what lies outside the image, set its ``fill_mask`` to 255 (void).
    """

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
            data = transform(**data)
        return data["image"], np.ascontiguousarray(data["mask"])


class ColourAugmentation(_Chain):
    """A chain of albumentations transforms that change colours only; boxes stay where they are."""

    def __call__(self, image: Image, seed: int) -> Image:
        """Augment an image, uint8 (H, W, 3), with the random stream that ``seed``, in [0, 2**32), starts."""
        for transform in self.seeded(seed):
            image = transform(image=image)["image"]
        return image


def _inside(boxes: Boxes) -> Boxes:
    """Clip relative boxes (N, 4 or more) to the image and drop those without an area."""
    boxes[:, :4] = boxes[:, :4].clip(0, 1)
    return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


def make_augmentation(choice: Preset | Sequence[A.BasicTransform]) -> Augmentation | None:
    """The augmentation of a preset or of a list of transforms; None for none.

    ``flip`` mirrors every second image; ``ssd`` is the photometric distortion, patch sampling and mirroring of Liu et
    al. 2016 §2.2, ``ssd_zoom`` the same with the zoom-out of their §3.6.
    """
    if choice == "none":
        return None
    if choice == "flip":
        return Augmentation([A.HorizontalFlip(p=0.5)])
    if choice == "ssd":
        # The crop first: the distortion of a pixel does not depend on the others, and a patch has fewer of them.
        return Augmentation([IoUCrop(p=1.0), PhotometricDistortion(p=1.0), A.HorizontalFlip(p=0.5)])
    if choice == "ssd_zoom":
        # The distortion first, as in Liu's code: what surrounds the image is the mean, undistorted, and costs nothing.
        return Augmentation([PhotometricDistortion(p=1.0), ZoomOut(), IoUCrop(p=1.0), A.HorizontalFlip(p=0.5)])
    if isinstance(choice, str):
        raise UserError(
            f"augmentation={choice!r} is neither none, flip, ssd, ssd_zoom nor a list of albumentations transforms."
        )
    return Augmentation(choice)


def make_mask_augmentation(choice: MaskPreset | Sequence[A.BasicTransform]) -> MaskAugmentation | None:
    """The augmentation of images with masks: of ``flip`` (every second image) or a list of transforms; None for none.

    Raises:
        UserError: If it is another preset; those of SSD sample patches around boxes, which masks do not have.
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


def make_colour_augmentation(choice: Literal["none"] | Sequence[A.BasicTransform]) -> ColourAugmentation | None:
    """The augmentation of images with phrases: of a list of colour transforms; None for none.

    Raises:
        UserError: If it is a preset, or a transform moves pixels: phrases say "left of" and "behind".
    """
    if choice == "none":
        return None
    if isinstance(choice, str):
        raise UserError(f"augmentation={choice!r} is not for phrases: choose none or a list of colour transforms.")
    for transform in choice:
        if not isinstance(transform, A.ImageOnlyTransform):
            raise UserError(
                f"augmentation has {type(transform).__name__}, which may move pixels, so that phrases such as 'left' "
                "would be wrong: take it out."
            )
    return ColourAugmentation(choice)


class PhotometricDistortion(A.ImageOnlyTransform):  # type: ignore[misc]
    """Random brightness, contrast, saturation and hue, each in every second image (Liu et al. 2016 §2.2; Howard 2013).

    Contrast comes before or after the step in HSV space. All steps are 256-entry tables on uint8.

    Args:
        brightness: Largest shift, in grey levels of 255.
        contrast: Factors are drawn from [1 - contrast, 1 + contrast].
        saturation: Factors are drawn from [1 - saturation, 1 + saturation].
        hue: Largest turn of the colour circle, in degrees.
        p: Probability of the whole.
    """

    def __init__(
        self, brightness: float = 32, contrast: float = 0.5, saturation: float = 0.5, hue: float = 18, p: float = 1.0
    ) -> None:
        super().__init__(p=p)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def get_params(self) -> dict[str, Any]:
        """Draw shift, factors and turn; those not applied are neutral."""
        apply = self.random_generator.random(5) < 0.5
        draw = self.random_generator.uniform(-1, 1, 4) * apply[:4]
        return {
            "shift": draw[0] * self.brightness,
            "contrast": 1 + draw[1] * self.contrast,
            "saturation": 1 + draw[2] * self.saturation,
            "turn": draw[3] * self.hue / 2,  # OpenCV's uint8 hue counts half degrees
            "contrast_last": bool(apply[4]),
        }

    def apply(
        self,
        img: Image,
        shift: float,
        contrast: float,
        saturation: float,
        turn: float,
        contrast_last: bool,
        **params: Any,
    ) -> Image:
        """Distort an RGB image, uint8 (H, W, 3)."""
        grey = np.arange(256, dtype=np.float32)
        colours = saturation != 1 or turn != 0
        first, last = (1.0, contrast) if contrast_last and colours else (contrast, 1.0)
        img = _look_up(img, (grey + shift) * first)
        if colours:
            table = np.stack([np.round(grey + turn) % 180, np.clip(grey * saturation, 0, 255), grey], axis=-1)
            hsv = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_RGB2HSV), table.astype(np.uint8)[None])
            img = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)
        return _look_up(img, grey * last)


def _look_up(image: Image, table: NDArray[np.float32]) -> Image:
    rounded = np.clip(np.round(table), 0, 255).astype(np.uint8)
    if rounded[0] == 0 and rounded[255] == 255 and rounded[128] == 128:  # the identity: neutral draws are common
        return image
    return np.asarray(cv2.LUT(image, rounded), dtype=np.uint8)


class ZoomOut(A.DualTransform):  # type: ignore[misc]
    """Put the image at a random place on a larger canvas filled with the mean (Liu et al. 2016 §3.6).

    It makes small objects out of large ones. Both sides of the canvas are 1 to ``largest`` times as long, drawn evenly.

    Args:
        largest: Largest side of the canvas over that of the image, at least 1.
        fill: Colour of the canvas, RGB; default: the mean of ImageNet as in Liu's code.
        p: Probability of the whole.
    """

    _targets = A.HorizontalFlip._targets

    def __init__(self, largest: float = 4.0, fill: tuple[int, int, int] = (123, 117, 104), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.largest, self.fill = largest, fill

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the canvas, (height, width), and the place of the image's corner on it, (top, left), in whole pixels."""
        size = np.array(params["shape"][:2])
        canvas = (size * self.random_generator.uniform(1, self.largest)).astype(int)
        corner = self.random_generator.integers(canvas - size, endpoint=True)
        return {"canvas": tuple(canvas.tolist()), "corner": tuple(corner.tolist())}

    def apply(self, img: Image, canvas: tuple[int, int], corner: tuple[int, int], **params: Any) -> Image:
        """Put the image on the canvas."""
        top, left = corner
        bottom, right = canvas[0] - top - img.shape[0], canvas[1] - left - img.shape[1]
        framed = cv2.copyMakeBorder(img, top, bottom, left, right, cv2.BORDER_CONSTANT, value=self.fill)
        return np.asarray(framed, dtype=np.uint8)

    def apply_to_mask(self, mask: Image, canvas: tuple[int, int], corner: tuple[int, int], **params: Any) -> Image:
        """Put a mask on an empty canvas."""
        framed = np.zeros(canvas, dtype=np.uint8)
        framed[corner[0] : corner[0] + mask.shape[0], corner[1] : corner[1] + mask.shape[1]] = mask
        return framed

    def apply_to_keypoints(
        self, keypoints: NDArray[np.float32], corner: tuple[int, int], **params: Any
    ) -> NDArray[np.float32]:
        """Move the points (x and y in pixels, further columns behind) with the image."""
        return _moved(keypoints, corner[1], corner[0])

    def apply_to_bboxes(
        self, bboxes: NDArray[np.float32], canvas: tuple[int, int], corner: tuple[int, int], **params: Any
    ) -> NDArray[np.float32]:
        """Move and shrink the boxes (relative coordinates, further columns behind) with the image."""
        boxes = bboxes.copy()
        for axis in (0, 1):  # y, x
            side = params["shape"][axis]
            columns = boxes[:, 1 - axis : 4 : 2]
            boxes[:, 1 - axis : 4 : 2] = (columns * side + corner[axis]) / canvas[axis]
        return boxes


class IoUCrop(A.DualTransform):  # type: ignore[misc]
    """Sample a patch that overlaps an object by at least a drawn IoU (Liu et al. 2016 §2.2).

    One of these is drawn, each with equal probability, and drawn again if no trial satisfies it: the whole image; a
    patch whose best IoU with an object is at least 0.1, 0.3, 0.5, 0.7 or 0.9; any patch. A patch measures 0.3 to 1 of
    each side with an aspect ratio between 1/2 and 2, and holds the centre of at least one object. Objects whose centre
    lies outside are dropped, the others clipped. An image without objects stays whole.

    Args:
        trials: Patches tried.
        p: Probability of the whole.
    """

    _targets = A.HorizontalFlip._targets
    _minimum = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 2.0)  # an IoU that no patch reaches stands for the whole image

    def __init__(self, trials: int = 50, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.trials = trials

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Choose the patch, (x1, y1, x2, y2) in whole pixels."""
        height, width = params["shape"][:2]
        whole = (0, 0, width, height)
        boxes = np.asarray(data.get("bboxes", ()), dtype=np.float64)
        if not len(boxes):
            return {"patch": whole}
        size = np.array([width, height, width, height])
        scale = self.random_generator.uniform(0.3, 1, (self.trials, 2))
        corner = self.random_generator.random((self.trials, 2)) * (1 - scale)
        patches = np.round(np.concatenate([corner, corner + scale], axis=1) * size)
        allowed, overlap = _judge(patches, boxes[:, :4] * size)
        for minimum in self.random_generator.permutation(self._minimum):
            fits = allowed & (overlap >= minimum)
            if minimum > 1 or fits.any():
                break
        return {"patch": whole if minimum > 1 else tuple(patches[fits.argmax()].astype(int).tolist())}

    def apply(self, img: Image, patch: tuple[int, int, int, int], **params: Any) -> Image:
        """Cut the patch out."""
        return img[patch[1] : patch[3], patch[0] : patch[2]]

    def apply_to_bboxes(
        self, bboxes: NDArray[np.float32], patch: tuple[int, int, int, int], **params: Any
    ) -> NDArray[np.float32]:
        """Keep the boxes (relative coordinates, further columns behind) whose centre lies in the patch."""
        height, width = params["shape"][:2]
        x1, y1, x2, y2 = patch
        boxes = bboxes.copy()
        boxes[:, 0:4:2] = (boxes[:, 0:4:2] * width - x1) / (x2 - x1)
        boxes[:, 1:4:2] = (boxes[:, 1:4:2] * height - y1) / (y2 - y1)
        centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
        boxes = boxes[((centre > 0) & (centre < 1)).all(axis=1)]
        boxes[:, :4] = boxes[:, :4].clip(0, 1)
        return boxes

    def apply_to_keypoints(
        self, keypoints: NDArray[np.float32], patch: tuple[int, int, int, int], **params: Any
    ) -> NDArray[np.float32]:
        """Move the points (x and y in pixels, further columns behind) with the image."""
        return _moved(keypoints, -patch[0], -patch[1])


def _moved(points: NDArray[np.float32], right: int, down: int) -> NDArray[np.float32]:
    moved = points.copy()
    moved[:, :2] += (right, down)
    return moved


def _judge(patches: NDArray[np.float64], boxes: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Judge patches (T, 4) against boxes (N, 4), N >= 1, all xyxy in pixels.

    Returns:
        Whether a patch has an allowed aspect ratio and holds the centre of a box, bool (T,); and its best IoU with a
        box, float64 (T,).
    """
    sides = patches[:, 2:] - patches[:, :2]
    upper = np.minimum(patches[:, None, 2:], boxes[:, 2:])
    lower = np.maximum(patches[:, None, :2], boxes[:, :2])
    inter = (upper - lower).clip(0).prod(axis=2)
    union = sides.prod(axis=1)[:, None] + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - inter
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = np.all((centre > patches[:, None, :2]) & (centre < patches[:, None, 2:]), axis=2)
    shaped = (sides[:, 0] <= 2 * sides[:, 1]) & (sides[:, 1] <= 2 * sides[:, 0])
    return shaped & inside.any(axis=1), (inter / union).max(axis=1)
