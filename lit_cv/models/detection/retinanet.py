"""RetinaNet (Lin et al. 2017, "Focal Loss for Dense Object Detection"): one-stage detection on a feature pyramid."""

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import sigmoid_focal_loss

from lit_cv.errors import UserError
from lit_cv.models.detection.anchors import AnchorGrid, on_cpu
from lit_cv.models.detection.dense import DenseDetector, best_candidates, suppress
from lit_cv.models.detection.detector import Detection
from lit_cv.models.images import ImageBatch, batch_objects, size_of
from lit_cv.models.network import Target
from lit_cv.ops.boxes import decode_boxes, encode_boxes, match_boxes, take
from lit_cv.ops.limits import above_zero, at_least

PAPER_CHANNELS = 256
FOREGROUND_IOU, BACKGROUND_IOU = 0.5, 0.4


class RetinaNetOutputs(NamedTuple):
    """Raw outputs for A anchors, finest level first and row by row, float32.

    Attributes:
        logits: (B, A, num_classes).
        deltas: (B, A, 4), relative to the anchors.
        anchors: (A_l, 4) of each level, ``x1, y1, x2, y2`` in pixels of the resized images; A is the sum of the A_l.
    """

    logits: Tensor
    deltas: Tensor
    anchors: tuple[Tensor, ...]


class RetinaNet(DenseDetector):
    """RetinaNet on any backbone.

    With the same settings, the parameters, losses and detections are those of torchvision's ``retinanet_resnet50_fpn``,
    whose state dicts load with ``load_state_dict``. As in torchvision, the top of the pyramid is computed from P5 (in
    the paper from C5), the box loss is L1 (in the paper smooth L1), each object is also assigned to the anchor with the
    highest IoU, and the head has an output for label 0, which is never a target or a detection.

    Args:

        anchor_scales: Square roots of the anchors' areas, in pixels of the resized image: a list for each level, finest
            first. Default: 4, 5 and 6.3 strides of the level, as in the paper.
        anchor_ratios: Height divided by width of the anchors, the same on every level. Default: 0.5, 1, 2.
        focal_alpha: Weight of the positives in the focal loss, in [0, 1]. The weight of the negatives is 1 - alpha.
        focal_gamma: Exponent that reduces the focal loss of well-classified anchors; 0 gives cross-entropy.
        options: Arguments of ``DenseDetector``.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("class", "box")
    class_layers = {"head.classification_head.cls_logits.*": "last"}

    def __init__(
        self,
        *args: Any,
        channels: int = 256,
        anchor_scales: list[list[float]] | None = None,
        anchor_ratios: list[float] | None = None,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
        detections_per_image: int = 300,
        **options: Any,
    ) -> None:
        at_least(0, focal_gamma=focal_gamma)
        above_zero(anchor_ratios=anchor_ratios)
        for scales in anchor_scales or ():
            above_zero(anchor_scales=scales)
        if not 0 <= focal_alpha <= 1:
            raise UserError(f"focal_alpha={focal_alpha}: the weight of the positives must be in [0, 1].")
        super().__init__(*args, channels=channels, detections_per_image=detections_per_image, **options)
        self.focal_alpha, self.focal_gamma = focal_alpha, focal_gamma
        self.anchor_generator = AnchorGenerator(*_anchor_shapes(anchor_scales, anchor_ratios, self.strides))
        self.anchors = AnchorGrid(self.anchor_generator)
        self.head = RetinaNetHead(channels, self.anchor_generator.num_anchors_per_location()[0], self.num_classes)
        with torch.no_grad():  # the standard deviation of its initial weights, 0.01, assumes the paper's channels
            for layer in self.head.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.weight.mul_(math.sqrt(PAPER_CHANNELS / channels))
        self.use_memory_format()

    def forward(self, pixels: Tensor) -> RetinaNetOutputs:
        """Compute the outputs for all anchors for normalized pixels (B, 3, H, W)."""
        maps = list(self.backbone(pixels).values())
        output = self.head(maps)
        anchors = self.anchors(size_of(pixels), maps)
        return RetinaNetOutputs(output["cls_logits"].float(), output["bbox_regression"].float(), anchors)

    def anchors_on(self, pixels: Tensor) -> Tensor:
        """Return the anchors, see ``Anchored``."""
        return torch.cat(self.anchors(size_of(pixels), on_cpu(self.backbone(pixels).values())))

    def losses_of(self, outputs: RetinaNetOutputs, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the losses of raw outputs; Lin et al. 2017, eq. 5 and section 4.1.

        Both losses are summed over the anchors of an image, divided by its number of positive anchors, and averaged
        over the images.
        """
        logits, deltas, anchors = outputs.logits, outputs.deltas, torch.cat(outputs.anchors)
        objects = batch_objects(targets, batch, self.num_classes)
        matches = [
            match_boxes(objects.boxes_of(image), anchors, FOREGROUND_IOU, BACKGROUND_IOU, rescue=True)
            for image in range(len(targets))
        ]
        index, state = (torch.stack(part) for part in zip(*matches, strict=True))
        positive = state > 0
        count = positive.sum(dim=1).clamp(min=1)
        labels = objects.labels.gather(1, index).masked_fill(~positive, -1)
        wanted = labels[..., None] == torch.arange(logits.shape[-1], device=labels.device)
        focal = sigmoid_focal_loss(logits, wanted.to(logits.dtype), self.focal_alpha, self.focal_gamma).sum(dim=2)
        # Only positive anchors have a target; the others take themselves, which avoids log(0).
        boxes = torch.where(positive[..., None], take(objects.boxes, index), anchors)
        distance = (deltas - encode_boxes(boxes, anchors)).abs().sum(dim=2)
        return {
            "class": ((focal * (state >= 0)).sum(dim=1) / count).mean(),
            "box": ((distance * positive).sum(dim=1) / count).mean(),
        }

    def found_in(self, outputs: RetinaNetOutputs, batch: ImageBatch) -> list[Detection]:
        """Decode the best anchors of each level and apply NMS."""
        index, labels, best = best_candidates(outputs.logits[..., 1:], [level.shape[0] for level in outputs.anchors])
        boxes = decode_boxes(take(outputs.deltas, index), torch.cat(outputs.anchors)[index])
        return suppress(boxes, best.sigmoid(), labels, batch, self.keep)


def _anchor_shapes(
    scales: list[list[float]] | None, ratios: list[float] | None, strides: list[int]
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Return the anchor scales and ratios of each level."""
    ratios = [0.5, 1.0, 2.0] if ratios is None else ratios
    if scales is None:  # rounded down to whole pixels, as in torchvision
        scales = [[int(4 * stride * 2 ** (octave / 3)) for octave in range(3)] for stride in strides]
    if len(scales) != len(strides) or len({len(level) for level in scales}) != 1 or not scales[0] or not ratios:
        raise UserError(
            f"anchor_scales={scales}, anchor_ratios={ratios}: give at least one ratio, and for each of the "
            f"{len(strides)} levels (strides {strides}) a list of scales, all equally long."
        )
    return tuple(tuple(level) for level in scales), (tuple(ratios),) * len(strides)
