"""FCOS (Tian et al. 2019): one-stage detection without anchors. Each cell of a pyramid predicts the box around it."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from lit_cv.errors import UserError
from lit_cv.models.detection.anchors import AnchorGrid
from lit_cv.models.detection.dense import DenseDetector, best_candidates, suppress
from lit_cv.models.detection.detector import Detection
from lit_cv.models.images import ImageBatch, batch_objects, size_of
from lit_cv.models.network import Target
from lit_cv.ops.boxes import take
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.limits import above_zero

GROUPS = 32  # groups of the group norms in the head
FIRST_OFFSET = 3.0  # initial distance between a cell and each side of its box, in strides
SMALLEST_REACH, LARGEST_REACH = 4, 8  # strides between a cell and the farthest side of its box: 64 to 128 pixels on P4


class FCOSOutputs(NamedTuple):
    """Raw outputs for A cells, finest level first and row by row, float32.

    Attributes:
        logits: (B, A, num_classes).
        offsets: (B, A, 4), distances from the center of a cell to the sides of its box, in strides.
        centerness: (B, A), logits of the center-ness.
        squares: (A_l, 4) of each level, squares around the cells as large as the stride, ``x1, y1, x2, y2`` in pixels
            of the resized images; A is the sum of the A_l.
    """

    logits: Tensor
    offsets: Tensor
    centerness: Tensor
    squares: tuple[Tensor, ...]


class FCOS(DenseDetector):
    """FCOS on any backbone.

    With the same settings, the parameters, losses and detections are those of torchvision's ``fcos_resnet50_fpn``,
    whose state dicts load with ``load_state_dict``. As in torchvision, the network has center sampling, the generalized
    IoU as box loss, and center-ness next to the boxes (Tian et al. 2020, arXiv:2006.09214). The head also has an output
    for label 0, which is never a target or a detection.

    Args:
        channels: Channels of the pyramid and of the head: a multiple of 32, at least 64.
        centre_radius: Maximum distance between a positive cell and the center of its box along each axis, in strides.
        score_threshold: Detections whose score is not above this are removed. The score is the geometric mean of
            probability and center-ness.
        options: Arguments of ``DenseDetector``.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("class", "box", "centerness")
    class_layers = {"head.classification_head.cls_logits.*": "last"}

    def __init__(
        self,
        *args: Any,
        channels: int = 256,
        centre_radius: float = 1.5,
        score_threshold: float = 0.2,
        nms_threshold: float = 0.6,
        **options: Any,
    ) -> None:
        above_zero(centre_radius=centre_radius)
        if channels <= GROUPS or channels % GROUPS:  # on a map of one cell, a group of one channel has no variance
            raise UserError(
                f"channels={channels}: the group norms of FCOS have {GROUPS} groups; give a multiple of {GROUPS}, "
                f"at least {2 * GROUPS}."
            )
        super().__init__(
            *args, channels=channels, score_threshold=score_threshold, nms_threshold=nms_threshold, **options
        )
        self.centre_radius = centre_radius
        # The anchors are squares around the cells, as large as the stride: they give center and scale of each cell.
        sizes = tuple((stride,) for stride in self.strides)
        self.anchor_generator = AnchorGenerator(sizes, ((1.0,),) * len(sizes))
        self.squares = AnchorGrid(self.anchor_generator)
        self.head = FCOSHead(channels, 1, self.num_classes)
        # The head ends in a ReLU. Biases of 0, as in torchvision, could leave a side with zero gradients forever.
        nn.init.constant_(self.head.regression_head.bbox_reg.bias, FIRST_OFFSET)
        self.use_memory_format()

    def forward(self, pixels: Tensor) -> FCOSOutputs:
        """Compute the outputs for all cells for normalized pixels (B, 3, H, W)."""
        maps = list(self.backbone(pixels).values())
        output = self.head(maps)
        return FCOSOutputs(
            output["cls_logits"].float(),
            output["bbox_regression"].float(),
            output["bbox_ctrness"].float().squeeze(2),
            self.squares(size_of(pixels), maps),
        )

    def losses_of(self, outputs: FCOSOutputs, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the losses of raw outputs; Tian et al. 2019, eq. 2 and section 3.3.

        They are divided by the number of positive cells of the batch.
        """
        logits, offsets, centerness, levels = outputs
        objects, squares = batch_objects(targets, batch, self.num_classes), torch.cat(levels)
        index, positive = match_cells(objects.boxes, squares, list(map(len, levels)), self.centre_radius)
        count = shared_count(positive)
        labels = objects.labels.gather(1, index).masked_fill(~positive, -1)
        wanted = labels[..., None] == torch.arange(logits.shape[-1], device=labels.device)
        # Only positive cells have a target; the others take their own square, so that every number stays finite.
        boxes = torch.where(positive[..., None], take(objects.boxes, index), squares)
        overlap = generalized_box_iou_loss(decode_cells(offsets, squares), boxes)
        entropy = F.binary_cross_entropy_with_logits(centerness, center_ness(boxes, squares), reduction="none")
        return {
            "class": sigmoid_focal_loss(logits, wanted.to(logits.dtype), reduction="sum") / count,
            "box": (overlap * positive).sum() / count,
            "centerness": (entropy * positive).sum() / count,
        }

    def found_in(self, outputs: FCOSOutputs, batch: ImageBatch) -> list[Detection]:
        """Decode the best cells of each level and apply NMS."""
        scores = (outputs.logits[..., 1:].sigmoid() * outputs.centerness.sigmoid()[..., None]).sqrt()
        index, labels, best = best_candidates(scores, [level.shape[0] for level in outputs.squares])
        boxes = decode_cells(take(outputs.offsets, index), torch.cat(outputs.squares)[index])
        return suppress(boxes, best, labels, batch, self.keep)


def match_cells(boxes: Tensor, squares: Tensor, counts: list[int], radius: float) -> tuple[Tensor, Tensor]:
    """Assign to each cell the smallest object that it can predict (Tian et al. 2019, sections 3.1 and 3.2).

    The cell's center must lie inside the object and near the object's center, and its level must fit the object's size.

    Args:
        boxes: Objects, float32 (B, G, 4), padded with boxes without area.
        squares: Cells, float32 (A, 4).
        counts: Number of cells on each level, with sum A.
        radius: Maximum distance of the two centers along each axis, in strides.

    Returns:
        The object of each cell, int64 (B, A) in 0..G-1, and whether the cell has an object, bool (B, A).
    """
    centers, sides = (squares[:, None, :2] + squares[:, None, 2:]) / 2, squares[:, 2] - squares[:, 0]
    low, high = SMALLEST_REACH * sides, LARGEST_REACH * sides
    low[: counts[0]], high[-counts[-1] :] = 0, torch.inf
    objects = boxes[:, None]
    to_sides = torch.cat((centers - objects[..., :2], objects[..., 2:] - centers), dim=-1)
    reach = to_sides.amax(dim=-1)
    to_center = (centers - (objects[..., :2] + objects[..., 2:]) / 2).abs().amax(dim=-1)
    fits = (to_sides.amin(dim=-1) > 0) & (to_center < radius * sides[:, None])
    fits &= (reach > low[:, None]) & (reach < high[:, None])
    areas = (objects[..., 2:] - objects[..., :2]).prod(dim=-1)
    smallest = torch.where(fits, areas, torch.inf).min(dim=-1)
    return smallest.indices, smallest.values.isfinite()


def decode_cells(offsets: Tensor, squares: Tensor) -> Tensor:
    """Convert distances to the left, top, right and bottom (..., 4), in strides, to boxes ``x1, y1, x2, y2``."""
    centers = (squares[..., :2] + squares[..., 2:]) / 2
    distances = offsets * (squares[..., 2:] - squares[..., :2]).repeat_interleave(2, dim=-1)
    return torch.cat((centers - distances[..., :2], centers + distances[..., 2:]), dim=-1)


def center_ness(boxes: Tensor, squares: Tensor) -> Tensor:
    """Compute the center-ness of cells in boxes around them, both (..., 4), in [0, 1] (Tian et al. 2019, eq. 3)."""
    centers = (squares[..., :2] + squares[..., 2:]) / 2
    before, after = centers - boxes[..., :2], boxes[..., 2:] - centers
    return (torch.minimum(before, after) / torch.maximum(before, after)).prod(dim=-1).sqrt()
