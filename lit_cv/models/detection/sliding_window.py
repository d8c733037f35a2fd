"""Detection by sliding window: one network classifies every window of the image (Stanford CS231n 2017, lecture 11)."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import roi_align

from lit_cv.errors import UserError
from lit_cv.models.backbones.classifier_ends import WindowHead
from lit_cv.models.backbones.trunk import Norm, build_trunk
from lit_cv.models.detection.detector import Detection, Detector, Keep, best_of_regions, restore
from lit_cv.models.images import ImageBatch, Objects, Size, batch_objects, fit_images
from lit_cv.models.layers.tensor_cache import RecentTensors
from lit_cv.models.network import Target
from lit_cv.ops.boxes import clip_boxes, match_boxes, random_keys, sample_balanced
from lit_cv.ops.global_batch import shared_count

POSITIVE_IOU = 0.5  # with an object, from which a window shows it
POSITIVE_FRACTION = 0.25  # of the windows in the loss, at most
JITTERED = 8  # windows around each object that join the candidates of the loss
JITTER = 0.2  # how far each of their edges moves at most, in sides of the object


class SlidingWindowDetector(Detector):
    """Classifies windows of all places, sizes and shapes into C classes and background; detections are windows.

    The windows of an image are those of ``slide_windows``, about ``(1 / (stride * scale) + 1)^2`` for each scale and
    ratio that fits: the defaults give about 1,500, whatever the resolution. Each is cut out, warped to
    ``size`` x ``size`` and sent through the network on its own. Nothing refines their boxes, so an object that no
    window overlaps well is not found well.

    The loss is the cross-entropy of windows drawn from each image as R-CNN draws its regions (Girshick et al. 2014,
    section 2.3): at most a quarter shows an object, with an IoU of at least 0.5, the rest is background. They are drawn
    from the windows of ``predict``, the objects themselves and, because few windows lie well on an object, eight random
    boxes around each object, whose edges are up to a fifth of its side away from its own.

    Args:
        num_classes: Number of classes with the background.
        backbone: A name of ``backbones.families.NAMES`` or ``timm/<name>``; its end is that of ``WindowHead``.
        weights: Of the backbone: ``imagenet``, the path of a state dict, or None.
        window_scales: Square roots of the windows' areas over that of the image's area, so that the number of windows
            hardly depends on the image's shape.
        window_ratios: Heights of the windows over their widths. What exceeds the image is cut to it.
        stride: Largest distance of two neighbouring windows, in sides of the window.
        size: Height and width of a warped window in pixels, see ``crop_windows``.
        min_size: Pixels of the shorter side of the resized image, from which windows are cut.
        max_size: Limit of its longer side.
        trainable_layers: How many stages of the backbone are trained, counted from the last; None trains all.
        norm: ``frozen`` or ``train``, see ``build_trunk``.
        channels_last: Memory format of the network; faster on CPU and with bfloat16.
        windows_per_image: Windows of each image in the loss.
        window_batch: Windows of one forward pass of ``predict``; bounds its memory.
        score_threshold: Detections with a lower probability go.
        nms_threshold: IoU above which the less likely detection of the same class goes.
        detections_per_image: The best so many are kept.

    Raises:
        UserError: No scale or ratio, or a number that is not positive.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("window_class",)

    def __init__(
        self,
        num_classes: int,
        backbone: str = "squeezenet1_0",
        weights: str | None = None,
        window_scales: Sequence[float] = (0.15, 0.25, 0.4, 0.63, 1.0),
        window_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        stride: float = 0.33,
        size: int = 64,
        min_size: int = 320,
        max_size: int = 533,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        channels_last: bool = False,
        windows_per_image: int = 64,
        window_batch: int = 256,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.3,
        detections_per_image: int = 100,
    ) -> None:
        super().__init__()
        if not (window_scales and window_ratios and min(*window_scales, *window_ratios, stride) > 0):
            raise UserError(
                f"window_scales={list(window_scales)}, window_ratios={list(window_ratios)}, stride={stride}: "
                "give at least one scale and one ratio, and nothing that is not positive."
            )
        self.num_classes = num_classes
        self.window_scales, self.window_ratios, self.stride = list(window_scales), list(window_ratios), stride
        self.size, self.min_size, self.max_size = size, min_size, max_size
        self.channels_last = channels_last
        self.windows_per_image, self.window_batch = windows_per_image, window_batch
        self.keep = Keep(score_threshold, nms_threshold, detections_per_image)
        trunk = build_trunk(backbone, weights, norm).freeze(trainable_layers)
        self.backbone = trunk.layers
        self.head = WindowHead(trunk, weights)
        self.class_head = self.head.classifier(num_classes)
        self._windows = RecentTensors()
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; the mean over the windows drawn."""
        batch = self._batch(images)
        windows, classes = self.sample(batch, batch_objects(targets, batch))
        parts = [crop_windows(_own(batch, image), part, self.size) for image, part in enumerate(windows)]
        total = F.cross_entropy(self._classify(torch.cat(parts)), classes, reduction="sum")
        return {"window_class": total / shared_count(classes >= 0)}

    def sample(self, batch: ImageBatch, objects: Objects) -> tuple[list[Tensor], Tensor]:
        """Draw the windows of the loss, see the class.

        Returns:
            The windows of each image, float32 (K, 4) in pixels of the resized image, K at most ``windows_per_image``;
            and the classes of all, int64, 0 for background.
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
        drawn, valid = sample_balanced(padded, self.windows_per_image, POSITIVE_FRACTION)
        chosen = [index[own] for index, own in zip(drawn, valid, strict=True)]
        windows = [part[own] for part, own in zip(candidates, chosen, strict=True)]
        return windows, torch.cat([part[own] for part, own in zip(labels, chosen, strict=True)])

    def windows_of(self, size: Size) -> Tensor:
        """Return the windows of a resized image of this height and width, float32 (N, 4), on the network's device."""
        device = self.device

        def make() -> Tensor:
            return slide_windows(size, self.window_scales, self.window_ratios, self.stride).to(device)

        return self._windows.get((size, device), make)

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        batch = self._batch(images)
        return restore([self._detect_one(_own(batch, image), size) for image, size in enumerate(batch.sizes)], batch)

    def _detect_one(self, pixels: Tensor, size: Size) -> Detection:
        windows = self.windows_of(size)
        parts = torch.split(windows, self.window_batch)
        logits = torch.cat([self._classify(crop_windows(pixels, part, self.size)) for part in parts])
        return best_of_regions(windows[:, None], logits.softmax(dim=1)[:, 1:], self.keep)

    def _classify(self, crops: Tensor) -> Tensor:
        """Return the logits float32 (K, classes) of warped windows (K, 3, size, size)."""
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        maps = self.backbone(crops.contiguous(memory_format=memory_format))
        logits: Tensor = self.class_head(self.head(maps)[self.head.last])
        return logits.float()

    def _batch(self, images: list[Tensor]) -> ImageBatch:
        return fit_images(images, self.min_size, self.max_size, self.device, divisible=1)


def slide_windows(size: Size, scales: Sequence[float], ratios: Sequence[float], stride: float) -> Tensor:
    """Place windows over an image so that, for each scale and ratio, they cover it evenly from edge to edge.

    Args:
        size: Height and width of the image.
        scales: Square roots of the windows' areas over that of the image's area.
        ratios: Heights over widths. A side that exceeds the image's is cut to it; equal windows are kept once.
        stride: Largest distance of two neighbouring windows, in sides of the window.

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
    """Spread windows of one side evenly over a length, at most ``stride * side`` apart."""
    gaps = math.ceil((length - side) / (stride * side) - 1e-6)
    return torch.linspace(0, length - side, gaps + 1)


def crop_windows(image: Tensor, windows: Tensor, size: int) -> Tensor:
    """Cut windows out of an image and warp them to one size.

    Each pixel of the result is the mean of so many points of the image, bilinearly interpolated, as pixels of the image
    fall on it: of one where a window is not larger than ``size``.

    Args:
        image: float32 (3, H, W).
        windows: float32 (K, 4), ``x1, y1, x2, y2`` in its pixels.
        size: Height and width of the results.

    Returns:
        float32 (K, 3, size, size).
    """
    crops: Tensor = roi_align(image[None], [windows], size, aligned=True)
    return crops


def _own(batch: ImageBatch, image: int) -> Tensor:
    """Return an image of a batch without the padding, (3, H, W): a window at its edge must not see the padding."""
    height, width = batch.sizes[image]
    return batch.pixels[image, :, :height, :width]


def _jitter(boxes: Tensor) -> Tensor:
    """Draw ``JITTERED`` boxes around each of (B, N, 4), as (B, N * ``JITTERED``, 4)."""
    repeated = boxes.repeat_interleave(JITTERED, dim=1)
    sides = (repeated[..., 2:] - repeated[..., :2]).repeat(1, 1, 2)
    return repeated + JITTER * (2 * random_keys(repeated).float() - 1) * sides
