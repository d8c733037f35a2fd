"""Transforms of SSD (Liu et al. 2016) that albumentations lacks."""

from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.iou import pairwise_iou

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


class PhotometricDistortion(A.ImageOnlyTransform):  # type: ignore[misc]
    """Change brightness, contrast, saturation and hue at random (Liu et al. 2016 §2.2; Howard 2013).

    Each change is applied with probability 1/2. Contrast changes before or after the step in HSV space. All steps are
    256-entry tables on uint8.

    Args:
        brightness: Maximum shift, in gray levels of 255.
        contrast: Factors are sampled from [1 - contrast, 1 + contrast].
        saturation: Factors are sampled from [1 - saturation, 1 + saturation].
        hue: Maximum rotation of the hue, in degrees.
        p: Probability of the distortion.
    """

    def __init__(
        self, brightness: float = 32, contrast: float = 0.5, saturation: float = 0.5, hue: float = 18, p: float = 1.0
    ) -> None:
        super().__init__(p=p)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def get_params(self) -> dict[str, Any]:
        """Sample the shift, the factors and the rotation; a change that is not applied gets a neutral value."""
        apply = self.random_generator.random(5) < 0.5
        sample = self.random_generator.uniform(-1, 1, 4) * apply[:4]
        return {
            "shift": sample[0] * self.brightness,
            "contrast": 1 + sample[1] * self.contrast,
            "saturation": 1 + sample[2] * self.saturation,
            "turn": sample[3] * self.hue / 2,  # OpenCV's uint8 hue counts half degrees
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
        gray = np.arange(256, dtype=np.float32)
        colors = saturation != 1 or turn != 0
        first, last = (1.0, contrast) if contrast_last and colors else (contrast, 1.0)
        img = _look_up(img, (gray + shift) * first)
        if colors:
            table = np.stack([np.round(gray + turn) % 180, np.clip(gray * saturation, 0, 255), gray], axis=-1)
            hsv = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_RGB2HSV), table.astype(np.uint8)[None])
            img = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)
        return _look_up(img, gray * last)


def _look_up(image: Image, table: NDArray[np.float32]) -> Image:
    rounded = np.clip(np.round(table), 0, 255).astype(np.uint8)
    if rounded[0] == 0 and rounded[255] == 255 and rounded[128] == 128:  # the identity: neutral values are common
        return image
    return np.asarray(cv2.LUT(image, rounded), dtype=np.uint8)


class ZoomOut(A.DualTransform):  # type: ignore[misc]
    """Put the image at a random place on a larger canvas filled with the mean (Liu et al. 2016 §3.6).

    This turns large objects into small ones. Both sides of the canvas are enlarged by the same factor, sampled
    uniformly from [1, largest].

    Args:
        largest: Maximum ratio of a side of the canvas to that of the image, at least 1.
        fill: Color of the canvas, RGB; default: the mean of ImageNet as in Liu's code.
        p: Probability of zooming out.
    """

    _targets = A.HorizontalFlip._targets

    def __init__(self, largest: float = 4.0, fill: tuple[int, int, int] = (123, 117, 104), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.largest, self.fill = largest, fill

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Sample the canvas, (height, width), and the image's corner on it, (top, left), in whole pixels."""
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
        """Move the points (x and y in pixels, then further columns) with the image."""
        return _moved(keypoints, corner[1], corner[0])

    def apply_to_bboxes(
        self, bboxes: NDArray[np.float32], canvas: tuple[int, int], corner: tuple[int, int], **params: Any
    ) -> NDArray[np.float32]:
        """Move and shrink the boxes (relative coordinates, then further columns) with the image."""
        boxes = bboxes.copy()
        for axis in (0, 1):  # y, x
            side = params["shape"][axis]
            columns = boxes[:, 1 - axis : 4 : 2]
            boxes[:, 1 - axis : 4 : 2] = (columns * side + corner[axis]) / canvas[axis]
        return boxes


class IoUCrop(A.DualTransform):  # type: ignore[misc]
    """Sample a patch whose IoU with an object is at least a random minimum (Liu et al. 2016 §2.2).

    One of seven rules is chosen with equal probability; if no trial satisfies it, another one is chosen: keep the whole
    image; crop a patch whose best IoU with an object is at least 0.1, 0.3, 0.5, 0.7 or 0.9; crop any patch. A patch
    measures 0.3 to 1 of each side with an aspect ratio between 1/2 and 2, and contains the center of at least one
    object. Objects whose center lies outside are dropped, the others are clipped. An image without objects stays whole.

    Args:
        trials: Number of patches that are tried.
        p: Probability of cropping.
    """

    _targets = A.HorizontalFlip._targets
    _minimum = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 2.0)  # 2.0, which no IoU reaches, means the whole image

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
        """Crop the patch."""
        return img[patch[1] : patch[3], patch[0] : patch[2]]

    def apply_to_bboxes(
        self, bboxes: NDArray[np.float32], patch: tuple[int, int, int, int], **params: Any
    ) -> NDArray[np.float32]:
        """Keep the boxes (relative coordinates, then further columns) whose center lies in the patch."""
        height, width = params["shape"][:2]
        x1, y1, x2, y2 = patch
        boxes = bboxes.copy()
        boxes[:, 0:4:2] = (boxes[:, 0:4:2] * width - x1) / (x2 - x1)
        boxes[:, 1:4:2] = (boxes[:, 1:4:2] * height - y1) / (y2 - y1)
        center = (boxes[:, :2] + boxes[:, 2:4]) / 2
        boxes = boxes[((center > 0) & (center < 1)).all(axis=1)]
        boxes[:, :4] = boxes[:, :4].clip(0, 1)
        return boxes

    def apply_to_keypoints(
        self, keypoints: NDArray[np.float32], patch: tuple[int, int, int, int], **params: Any
    ) -> NDArray[np.float32]:
        """Move the points (x and y in pixels, then further columns) with the image."""
        return _moved(keypoints, -patch[0], -patch[1])


def _moved(points: NDArray[np.float32], right: int, down: int) -> NDArray[np.float32]:
    moved = points.copy()
    moved[:, :2] += (right, down)
    return moved


def _judge(patches: NDArray[np.float64], boxes: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Compare patches (T, 4) with boxes (N, 4), N >= 1, all xyxy in pixels.

    Returns:
        Whether each patch has an allowed aspect ratio and contains the center of a box, bool (T,); and its best IoU
        with a box, float64 (T,).
    """
    sides = patches[:, 2:] - patches[:, :2]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = np.all((center > patches[:, None, :2]) & (center < patches[:, None, 2:]), axis=2)
    shaped = (sides[:, 0] <= 2 * sides[:, 1]) & (sides[:, 1] <= 2 * sides[:, 0])
    return shaped & inside.any(axis=1), pairwise_iou(patches, boxes).max(axis=1)
