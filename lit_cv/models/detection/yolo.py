"""YOLO (Redmon et al. 2016): each cell of a grid regresses boxes and class probabilities from the whole image."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import family_of
from lit_cv.models.detection.detector import Detection, Detector, best_of_regions, restore
from lit_cv.models.detection.yolo_head import GridHead, YOLOHead, added_convolutions
from lit_cv.models.images import ImageBatch, Objects, batch_objects
from lit_cv.models.network import OnePassNetwork, Target
from lit_cv.models.resizing import SquareImages
from lit_cv.ops.boxes import centered_iou, clip_boxes, random_keys, take
from lit_cv.ops.limits import at_least, fractions

# Initial prediction of every cell: boxes in the middle of the cell, with a quarter of the image's width and height and
# confidence 0. If boxes had to grow from size zero, no box would overlap its object at first.
BOX_START = (0.5, 0.5, 0.5, 0.5, 0.0)


class Cells(NamedTuple):
    """Raw outputs: predictions of N = S * S cells, row by row, with P boxes each.

    Attributes:
        boxes: float32 (B, N, P, 4): x and y of the center relative to the cell (0 is its left or upper edge, 1 its
            right or lower edge), and the square roots of width and height relative to the image.
        confidence: float32 (B, N, P), expected IoU with an object.
        classes: float32 (B, N, C), probabilities of the classes, given that there is an object.
    """

    boxes: Tensor
    confidence: Tensor
    classes: Tensor


class Wanted(NamedTuple):
    """The object assigned to each cell.

    Attributes:
        occupied: bool (B, N), whether the cell has an object; otherwise its boxes and classes are meaningless.
        boxes: float32 (B, N, 4), as in ``Cells``.
        classes: int64 (B, N), 0..C-1.
    """

    occupied: Tensor
    boxes: Tensor
    classes: Tensor


class YOLO(SquareImages, OnePassNetwork, Detector):
    """YOLO on any backbone.

    The losses are the sums of eq. 3 over an image, averaged over the batch. They do not include the paper's weights,
    which are the task's ``loss_weights``: ``{coordinates: 5, size: 5, no_object: 0.5}``. Details that the equation
    leaves open follow the authors' code (darknet). If the centers of several objects lie in one cell, one of them is
    sampled in each step. The box with the highest IoU is responsible for its cell's object; ties go to the first box.
    If no box overlaps the object, the box with the smallest distance in x, y, w and h is responsible. The target of its
    confidence is its current IoU. No gradient flows through the choice and the IoU.

    Args:
        backbone: A name of ``lit_cv.models.backbones.families.NAMES`` or ``timm/<name>``. ``yolo`` and ``fast_yolo``
            are the paper's backbones, ``yolo_bn`` and ``fast_yolo_bn`` the same with batch norm, as in darknet's later
            settings. These four have no ``imagenet`` weights.
        grid: Number of cells S along each side. ``size / grid`` must be 1, 2, 4, ... times the backbone's stride.
        boxes_per_cell: Boxes of each cell (B in the paper).
        neck_channels: Widths of the 3x3 convolutions after the backbone. The second one and, if necessary, the next
            ones halve the map until it has the size of the grid. Default: four of 1,024, or three on Fast YOLO's
            backbone.
        head: ``fully_connected`` as in the paper, or ``convolutional``, see ``GridHead``.
        hidden: Width of the hidden layer, for ``head: fully_connected``.
        dropout: Dropout probability of that layer, in [0, 1).
        batch_norm: Whether the convolutions after the backbone have batch norm.
        score_threshold: Detections whose class-specific confidence (eq. 1) is not above this are removed.
        options: Arguments of ``SquareImages`` and ``Detector``.

    Raises:
        UserError: The grid does not fit the size and the backbone.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("coordinates", "size", "object", "no_object", "class")

    def __init__(
        self,
        *args: Any,
        backbone: str = "yolo",
        size: int = 448,
        grid: int = 7,
        boxes_per_cell: int = 2,
        neck_channels: Sequence[int] | None = None,
        head: YOLOHead = "fully_connected",
        hidden: int = 4096,
        dropout: float = 0.5,
        batch_norm: bool = False,
        score_threshold: float = 0.001,
        **options: Any,
    ) -> None:
        super().__init__(*args, backbone=backbone, size=size, score_threshold=score_threshold, **options)
        at_least(1, grid=grid, boxes_per_cell=boxes_per_cell, hidden=hidden, neck_channels=neck_channels)
        fractions(dropout=dropout)
        self.grid, self.boxes_per_cell = grid, boxes_per_cell
        if neck_channels is None:
            neck_channels = [1024] * family_of(backbone).yolo_convolutions
        trunk = self.build_trunk().freeze(self.trainable_layers)
        last = trunk.stages[-1]
        halvings = _halvings(size, last.stride, grid, len(neck_channels))
        self.backbone = trunk.layers
        self.neck = added_convolutions(last.channels, neck_channels, halvings, batch_norm)
        width = neck_channels[-1] if neck_channels else last.channels
        starts = (*BOX_START * boxes_per_cell, *[0.0] * (self.num_classes - 1))
        self.head = GridHead(head, width, grid, hidden, dropout, starts)
        output = 0 if head == "convolutional" else len(self.head.layers) - 1
        self.class_layers = {f"head.layers.{output}.*": "whole"}  # type: ignore[misc]
        self.use_memory_format()

    def forward(self, pixels: Tensor) -> Cells:
        """Compute the predictions of the cells for normalized pixels (B, 3, ``size``, ``size``)."""
        output = self.head(self.neck(self.backbone(pixels))).float()
        boxes = output[..., : 5 * self.boxes_per_cell].unflatten(2, (self.boxes_per_cell, 5))
        return Cells(boxes[..., :4], boxes[..., 4], output[..., 5 * self.boxes_per_cell :])

    def losses_of(self, outputs: Cells, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the losses of the cells; Redmon et al. 2016, eq. 3."""
        found, wanted = outputs, self._assign(batch_objects(targets, batch, self.num_classes))
        responsible, overlap = self._responsible(found, wanted)
        errors = (found.boxes - wanted.boxes[:, :, None]).square() * responsible[..., None]
        probabilities = F.one_hot(wanted.classes, self.num_classes - 1)
        sums = {
            "coordinates": errors[..., :2].sum(),
            "size": errors[..., 2:].sum(),
            "object": ((found.confidence - overlap).square() * responsible).sum(),
            "no_object": (found.confidence.square() * ~responsible).sum(),
            "class": ((found.classes - probabilities).square() * wanted.occupied[..., None]).sum(),
        }
        return {name: value / len(targets) for name, value in sums.items()}

    def _assign(self, objects: Objects) -> Wanted:
        """Assign each object to the cell that contains its center, and to each cell one of its objects."""
        count = objects.labels.shape[1]
        places = torch.arange(count, device=objects.boxes.device)
        numbers = torch.tensor(objects.counts).to(places.device, non_blocking=True)
        order = random_keys(objects.labels).argsort(dim=1)  # a cell takes the last of its objects in this order
        real = order < numbers[:, None]
        boxes = take(objects.boxes, order) / self.size
        labels = objects.labels.gather(1, order)
        centers = (boxes[..., :2] + boxes[..., 2:]) * (self.grid / 2)
        corners = centers.floor().clamp(0, self.grid - 1)
        coded = torch.cat((centers - corners, (boxes[..., 2:] - boxes[..., :2]).sqrt()), dim=-1)
        cells = (corners[..., 1] * self.grid + corners[..., 0]).long()
        owner = torch.full((len(boxes), self.grid**2), -1, device=places.device)
        owner = owner.scatter_reduce(1, cells, torch.where(real, places, -1), "amax")
        index = owner.clamp(min=0)
        return Wanted(owner >= 0, take(coded, index), (labels.gather(1, index) - 1).clamp(min=0))

    @torch.no_grad()
    def _responsible(self, found: Cells, wanted: Wanted) -> tuple[Tensor, Tensor]:
        """Return a mask of the boxes responsible for their cell's object and the IoU of all boxes, both (B, N, P)."""
        first, second = self._in_image(found.boxes), self._in_image(wanted.boxes[:, :, None])
        overlap = centered_iou(first, second)  # without an object, both areas may be 0
        apart = (first - second).norm(dim=-1)
        best = torch.where(overlap.amax(dim=2, keepdim=True) > 0, overlap, -apart).argmax(dim=2)
        return F.one_hot(best, self.boxes_per_cell).bool() & wanted.occupied[..., None], overlap

    def _in_image(self, boxes: Tensor) -> Tensor:
        """Convert coded boxes (..., 4) to x, y, w, h relative to the image, with the corner of their cell as origin."""
        return torch.cat((boxes[..., :2] / self.grid, boxes[..., 2:].square()), dim=-1)

    def found_in(self, outputs: Cells, batch: ImageBatch) -> list[Detection]:
        """Decode the boxes of the cells and apply NMS."""
        boxes = clip_boxes(self._decode(outputs.boxes), batch.sizes)
        # Both factors are clipped, because the product of two negative numbers would be positive.
        scores = outputs.confidence.clamp(0, 1)[..., None] * outputs.classes.clamp(0, 1)[:, :, None]
        parts = zip(boxes[:, :, None], scores.flatten(1, 2), strict=True)
        return restore([best_of_regions(*regions, self.keep) for regions in parts], batch)

    def _decode(self, boxes: Tensor) -> Tensor:
        """Convert coded boxes (B, N, P, 4) to ``x1, y1, x2, y2`` in pixels of the resized image, (B, N * P, 4)."""
        places = torch.arange(self.grid**2, device=boxes.device)
        corners = torch.stack((places % self.grid, places // self.grid), dim=1)[:, None]
        center, half = (boxes[..., :2] + corners) / self.grid, boxes[..., 2:].square() / 2
        return torch.cat((center - half, center + half), dim=-1).flatten(1, 2) * self.size


def _halvings(size: int, stride: int, grid: int, convolutions: int) -> int:
    """Return how many times a backbone's map must be halved to have ``grid`` cells along each side."""
    possible = [count for count in range(max(1, convolutions)) if grid * stride * 2**count == size]
    if not possible:
        raise UserError(
            f"size={size}, grid={grid}: the backbone's last map has stride {stride}, and the {convolutions} "
            f"new convolutions after it can halve it up to {max(0, convolutions - 1)} times, so size must be "
            f"{stride} x {grid} = {stride * grid} times 1, 2, ... {2 ** max(0, convolutions - 1)}."
        )
    return possible[0]
