"""Detection by sliding window: a network classifies every window of the image (Stanford CS231n 2017, lecture 11)."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import roi_align

from lit_cv.errors import UserError
from lit_cv.models.backbones.classifier_ends import WindowHead
from lit_cv.models.detection.detector import Detection, Detector, best_of_regions, restore
from lit_cv.models.images import ImageBatch, Objects, Size, batch_objects
from lit_cv.models.layers.tensor_cache import TensorCache
from lit_cv.models.network import Target
from lit_cv.models.resizing import FittedImages, MinSize
from lit_cv.ops.boxes import clip_boxes, match_boxes, random_keys, sample_balanced
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.limits import at_least

POSITIVE_IOU = 0.5  # minimum IoU of a positive window with an object
POSITIVE_FRACTION = 0.25  # maximum share of positive windows in the loss
JITTERED = 8  # number of random windows around each object among the candidates of the loss
JITTER = 0.2  # maximum shift of each of their edges, in sides of the object


class SlidingWindowDetector(FittedImages, Detector):
    """A classifier of windows of many positions, sizes and shapes into C classes and background.

    The windows of an image come from ``slide_windows``. There are about ``(1 / (stride * scale) + 1)^2`` for each scale
    and ratio that fits; the defaults give about 1,500, at any resolution. Each window is cut out, warped to
    ``size`` x ``size`` and classified separately. Boxes are not refined, so an object is found only as precisely as a
    window fits it.

    The loss is the cross-entropy of windows sampled from each image, as R-CNN samples regions (Girshick et al. 2014,
    section 2.3). At most a quarter of them have an IoU of at least 0.5 with an object; the others are background. The
    candidates are the windows of ``predict``, the objects themselves, and eight random boxes around each object,
    because few windows fit an object well. The edges of these boxes are shifted by up to a fifth of the object's side.

    Args:
        window_scales: Square roots of the windows' areas, divided by the square root of the image's area. So the number
            of windows hardly depends on the shape of the image.
        window_ratios: Height divided by width of the windows. Sides are limited to the sides of the image.
        stride: Maximum distance between neighboring windows, in sides of the window.
        size: Height and width of a warped window in pixels, see ``crop_windows``.
        windows_per_image: Maximum number of windows for each image in the loss.
        window_batch: Number of windows in one forward pass of ``predict``; limits memory.
        options: Arguments of ``FittedImages`` and ``Detector``.

    Raises:
        UserError: There is no scale or no ratio, or a number is not positive.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("window_class",)
    class_layers = {"class_head.*": "first"}
    divisible = 1

    def __init__(
        self,
        *args: Any,
        backbone: str = "squeezenet1_0",
        window_scales: Sequence[float] = (0.15, 0.25, 0.4, 0.63, 1.0),
        window_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        stride: float = 0.33,
        size: int = 64,
        min_size: MinSize = 320,
        max_size: int = 533,
        windows_per_image: int = 64,
        window_batch: int = 256,
        nms_threshold: float = 0.3,
        **options: Any,
    ) -> None:
        super().__init__(
            *args, backbone=backbone, min_size=min_size, max_size=max_size, nms_threshold=nms_threshold, **options
        )
        at_least(1, size=size, windows_per_image=windows_per_image, window_batch=window_batch)
        if not (window_scales and window_ratios and min(*window_scales, *window_ratios, stride) > 0):
            raise UserError(
                f"window_scales={list(window_scales)}, window_ratios={list(window_ratios)}, stride={stride}: "
                "give at least one scale and one ratio, and only positive numbers."
            )
        self.window_scales, self.window_ratios, self.stride = list(window_scales), list(window_ratios), stride
        self.size, self.windows_per_image, self.window_batch = size, windows_per_image, window_batch
        trunk = self.build_trunk().freeze(self.trainable_layers)
        self.backbone = trunk.layers
        self.head = WindowHead(trunk, self.weights)
        self.class_head = self.head.classifier(self.num_classes)
        self._windows = TensorCache[Tensor]()
        self.use_memory_format()

    def forward(self, windows: Tensor) -> Tensor:
        """Classify warped windows, normalized pixels (K, 3, ``size``, ``size``), to logits float32 (K, num_classes)."""
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        maps = self.backbone(windows.contiguous(memory_format=memory_format))
        logits: Tensor = self.class_head(self.head(maps)[self.head.last])
        return logits.float()

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; the mean over the sampled windows."""
        batch = self.batch(images)
        windows, classes = self.sample(batch, batch_objects(targets, batch, self.num_classes))
        parts = [crop_windows(_own(batch, image), part, self.size) for image, part in enumerate(windows)]
        total = F.cross_entropy(self(torch.cat(parts)), classes, reduction="sum")
        return {"window_class": total / shared_count(classes >= 0)}

    def sample(self, batch: ImageBatch, objects: Objects) -> tuple[list[Tensor], Tensor]:
        """Sample the windows of the loss, see the class.

        Returns:
            The windows of each image, float32 (K, 4) in pixels of the resized image, K at most ``windows_per_image``;
            and the classes of all windows, int64, 0 for background.
        """
        candidates, labels, states = [], [], []
        for image, (size, around) in enumerate(zip(batch.sizes, _jitter(objects.boxes), strict=True)):
            boxes = objects.boxes_of(image)
            around = clip_boxes(around[None, : JITTERED * len(boxes)], [size])[0]
            candidates.append(torch.cat((self.windows_of(size), boxes, around)))
            index, state = match_boxes(boxes, candidates[-1], high=POSITIVE_IOU, low=POSITIVE_IOU)
            labels.append(torch.where(state > 0, objects.labels[image, index], 0))
            states.append(state)
        padded = pad_sequence(states, batch_first=True, padding_value=-1)
        indices, valid = sample_balanced(padded, self.windows_per_image, POSITIVE_FRACTION)
        chosen = [index[own] for index, own in zip(indices, valid, strict=True)]
        windows = [part[own] for part, own in zip(candidates, chosen, strict=True)]
        return windows, torch.cat([part[own] for part, own in zip(labels, chosen, strict=True)])

    def windows_of(self, size: Size) -> Tensor:
        """Return the windows of a resized image of the given size, float32 (N, 4), on the network's device."""
        device = self.device

        def make() -> Tensor:
            return slide_windows(size, self.window_scales, self.window_ratios, self.stride).to(device)

        return self._windows.get((size, device), make)

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        batch = self.batch(images)
        return restore([self._detect_one(_own(batch, image), size) for image, size in enumerate(batch.sizes)], batch)

    def _detect_one(self, pixels: Tensor, size: Size) -> Detection:
        windows = self.windows_of(size)
        parts = torch.split(windows, self.window_batch)
        logits = torch.cat([self(crop_windows(pixels, part, self.size)) for part in parts])
        return best_of_regions(windows[:, None], logits.softmax(dim=1)[:, 1:], self.keep)


def slide_windows(size: Size, scales: Sequence[float], ratios: Sequence[float], stride: float) -> Tensor:
    """Place windows over an image so that, for each scale and ratio, they cover it evenly from edge to edge.

    Args:
        size: Height and width of the image.
        scales: Square roots of the windows' areas, divided by the square root of the image's area.
        ratios: Heights divided by widths. Sides are limited to the sides of the image; equal windows are kept once.
        stride: Maximum distance between neighboring windows, in sides of the window.

    Returns:
        float32 (N, 4), ``x1, y1, x2, y2``, by scale, then ratio, row and column.
    """
    height, width = size
    unit = math.sqrt(height * width)
    sides = [
        (min(unit * scale * math.sqrt(ratio), height), min(unit * scale / math.sqrt(ratio), width))
        for scale in scales
        for ratio in ratios
    ]
    parts = []
    for high, wide in dict.fromkeys(sides):
        corners = torch.cartesian_prod(_starts(height, high, stride), _starts(width, wide, stride)).flip(1)
        parts.append(torch.cat((corners, corners + torch.tensor([wide, high])), dim=1))
    return torch.cat(parts)


def _starts(length: int, side: float, stride: float) -> Tensor:
    """Return the positions of windows spread evenly over a length, at most ``stride * side`` apart."""
    gaps = math.ceil((length - side) / (stride * side) - 1e-6)
    return torch.linspace(0, length - side, gaps + 1)


def crop_windows(image: Tensor, windows: Tensor, size: int) -> Tensor:
    """Cut windows out of an image and warp them to one size.

    Each output pixel is the mean of bilinearly interpolated points of the image, as many as the image has pixels in its
    place: one point if the window is not larger than ``size``.

    Args:
        image: (3, H, W), floating point.
        windows: float32 (K, 4), ``x1, y1, x2, y2`` in its pixels.
        size: Height and width of the crops.

    Returns:
        (K, 3, size, size), of the type of the image.
    """
    crops: Tensor = roi_align(image[None].float(), [windows.float()], size, aligned=True)
    return crops.to(image.dtype)


def _own(batch: ImageBatch, image: int) -> Tensor:
    """Return an image of a batch without the padding, (3, H, W), so that no window at its edge covers padding."""
    height, width = batch.sizes[image]
    return batch.pixels[image, :, :height, :width]


def _jitter(boxes: Tensor) -> Tensor:
    """Sample ``JITTERED`` boxes around each of (B, N, 4); return (B, N * ``JITTERED``, 4)."""
    repeated = boxes.repeat_interleave(JITTERED, dim=1)
    sides = (repeated[..., 2:] - repeated[..., :2]).repeat(1, 1, 2)
    return repeated + JITTER * (2 * random_keys(repeated).float() - 1) * sides
