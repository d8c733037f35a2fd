"""Class-agnostic proposals from four sources, to compare their recall."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lit_cv.errors import UserError
from lit_cv.models.backbones.necks import single_map
from lit_cv.models.detection.anchors import anchor_shapes
from lit_cv.models.detection.detector import Detection, restore
from lit_cv.models.detection.sliding_window import slide_windows
from lit_cv.models.images import ImageBatch, Size, batch_objects, size_of
from lit_cv.models.network import Target
from lit_cv.models.rcnn.proposals import ProposalDetector
from lit_cv.models.rcnn.rpn import Predictions, ProposalCount, RegionProposalNetwork
from lit_cv.models.resizing import FittedImages
from lit_cv.ops.boxes import random_keys
from lit_cv.ops.limits import above_zero, at_least, fractions

Source = Literal["selective_search", "sliding_windows", "random", "rpn"]
SOURCES: tuple[Source, ...] = ("selective_search", "sliding_windows", "random", "rpn")


class Proposer(FittedImages, ProposalDetector):
    """Boxes that may hold an object of any class, best first (Hosang et al. 2016, section 3).

    The detections are the proposals: at most ``proposals_test``, with label 1 and scores that fall evenly with the
    rank. Only ``rpn`` is trained, with the losses of Faster R-CNN's first stage on the map at stride 16; with the other
    sources both losses are 0. All sources have the same parameters.

    Args:
        source: ``selective_search``: the given proposals. ``sliding_windows``: ``slide_windows`` in random order,
            because windows have no best one. ``random``: two random points of the image are opposite corners. ``rpn``:
            a region proposal network.
        anchor_scales: Square roots of the anchors' areas, in pixels of the resized image.
        anchor_ratios: Height divided by width of the anchors.
        rpn_batch: Maximum number of anchors sampled per image for the loss.
        rpn_pre_nms_test: Maximum number of boxes of the ``rpn`` before NMS.
        rpn_nms_threshold: If two boxes of the ``rpn`` have an IoU above this, the less likely one is removed.
        window_scales: See ``SlidingWindowDetector``.
        window_ratios: Height divided by width of the windows.
        stride: Maximum distance between neighboring windows, in sides of the window.
        options: Arguments of ``FittedImages`` and ``ProposalDetector``.

    Raises:
        UserError: There is no such source, or a number is out of range.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("rpn_objectness", "rpn_box")

    def __init__(
        self,
        *args: Any,
        source: Source = "rpn",
        anchor_scales: list[float] | None = None,
        anchor_ratios: list[float] | None = None,
        rpn_batch: int = 256,
        rpn_pre_nms_test: int = 6000,
        rpn_nms_threshold: float = 0.7,
        window_scales: list[float] | None = None,
        window_ratios: list[float] | None = None,
        stride: float = 0.28,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        if source not in SOURCES:
            raise UserError(f"source={source!r}: there is no such source; choose from {', '.join(SOURCES)}.")
        at_least(1, rpn_batch=rpn_batch, rpn_pre_nms_test=rpn_pre_nms_test)
        fractions(rpn_nms_threshold=rpn_nms_threshold)
        above_zero(anchor_scales=anchor_scales, anchor_ratios=anchor_ratios)
        above_zero(window_scales=window_scales, window_ratios=window_ratios, stride=[stride])
        self.source = source
        self.windows = (window_scales or [0.15, 0.25, 0.4, 0.63, 1.0], window_ratios or [0.5, 1.0, 2.0], stride)
        self.rpn_keep = ProposalCount(rpn_pre_nms_test, self.proposals_test)
        self.backbone, channels, levels = single_map(self.build_trunk().up_to(16), self.trainable_layers)
        anchors = AnchorGenerator(*anchor_shapes(anchor_scales, anchor_ratios or [0.5, 1.0, 2.0], levels))
        self.rpn = RegionProposalNetwork(channels, anchors, rpn_batch, rpn_nms_threshold, 0.0)
        self.use_memory_format()

    def forward(self, pixels: Tensor) -> Predictions:
        """Score and regress the anchors of pixels (B, 3, H, W), normalized; H and W are multiples of 32."""
        predictions: Predictions = self.rpn(size_of(pixels), list(self.backbone(pixels).values()))
        return predictions

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``."""
        if self.source != "rpn":
            # Not a constant: the optimizer and distributed training need a gradient for every parameter.
            nothing = 0 * torch.stack([part.sum() for part in self.parameters() if part.requires_grad]).sum()
            return dict.fromkeys(self.loss_names, nothing)
        batch = self.batch(images)
        objects = batch_objects(targets, batch, self.num_classes)
        return dict(zip(self.loss_names, self.rpn.losses(self(batch.pixels), objects), strict=True))

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        if self.source == "selective_search":
            return super()._predict(images)
        return self._detect(images, [])

    def _detect(self, images: list[Tensor], proposals: list[Tensor]) -> list[Detection]:
        if self.source == "selective_search":
            return [_ranked(boxes[: self.proposals_test].to(self.device)) for boxes in proposals]
        batch = self.batch(images)
        return restore([_ranked(boxes) for boxes in self._propose(batch)], batch)

    def _propose(self, batch: ImageBatch) -> list[Tensor]:
        """Return the proposals of each image, (N, 4) in pixels of the resized images, best first."""
        if self.source == "rpn":
            return self.rpn.propose(self(batch.pixels), batch.sizes, self.rpn_keep)
        if self.source == "sliding_windows":
            return [self._shuffled(slide_windows(size, *self.windows).to(self.device)) for size in batch.sizes]
        keys = random_keys(batch.pixels.new_empty(len(batch.sizes), 2, 2, self.proposals_test))
        return [random_boxes(own, size) for own, size in zip(keys, batch.sizes, strict=True)]

    def _shuffled(self, windows: Tensor) -> Tensor:
        order = random_keys(windows.new_empty(1, len(windows)))[0].argsort()
        return windows[order[: self.proposals_test]]


def random_boxes(keys: Tensor, size: Size) -> Tensor:
    """Return the boxes between pairs of points of an image.

    Args:
        keys: (2, 2, N) in [0, 1): two points, their x and y, N times.
        size: Height and width of the image in pixels.

    Returns:
        float32 (N, 4), ``x1, y1, x2, y2``.
    """
    height, width = size
    points = keys.float() * keys.new_tensor([[width], [height]]).float()
    return torch.cat((points.amin(dim=0), points.amax(dim=0))).T.contiguous()


def _ranked(boxes: Tensor) -> Detection:
    """Return boxes (N, 4), best first, as detections."""
    labels = torch.ones(len(boxes), dtype=torch.int64, device=boxes.device)
    scores = 1 - torch.arange(len(boxes), device=boxes.device) / max(1, len(boxes))
    return Detection(boxes=boxes.float(), scores=scores, labels=labels)
