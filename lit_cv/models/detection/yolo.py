"""YOLO (Redmon et al. 2016): boxes and classes regressed from the whole image, once for each cell of a grid."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.backbones.trunk import Norm, build_trunk
from lit_cv.models.detection.detector import Detection, Detector, Keep, best_of_regions, restore
from lit_cv.models.detection.yolo_head import GridHead, YOLOHead, added_convolutions
from lit_cv.models.images import ImageBatch, Objects, batch_images, batch_objects
from lit_cv.models.network import Target
from lit_cv.ops.boxes import clip_boxes, random_keys, take

# What every cell predicts at first: boxes in the middle of the cell, a quarter of the image wide and high, with
# confidence 0. If boxes had to grow from nothing, no box would overlap its object at first.
BOX_START = (0.5, 0.5, 0.5, 0.5, 0.0)


class Cells(NamedTuple):
    """What the cells predict; N = S * S cells row by row, P boxes each.

    Attributes:
        boxes: float32 (B, N, P, 4): x and y of the centre relative to the cell (0 its left or upper, 1 its right or
            lower edge), and the square roots of width and height relative to the image.
        confidence: float32 (B, N, P), the expected IoU with an object.
        classes: float32 (B, N, C), the probabilities of the classes if there is an object.
    """

    boxes: Tensor
    confidence: Tensor
    classes: Tensor


class Wanted(NamedTuple):
    """The object of each cell.

    Attributes:
        occupied: bool (B, N), whether there is one; the rest holds nothing of use where there is none.
        boxes: float32 (B, N, 4), as in ``Cells``.
        classes: int64 (B, N), 0..C-1.
    """

    occupied: Tensor
    boxes: Tensor
    classes: Tensor


class YOLO(Detector):
    """YOLO on any backbone.

    The losses are the sums of eq. 3 over an image, averaged over the batch, without the paper's weights: those are the
    task's ``loss_weights``, ``{coordinates: 5, size: 5, no_object: 0.5}``. What the equation leaves open is as in the
    authors' code (darknet): of several objects with their centres in one cell, one is learnt, drawn anew each time. The
    box with the highest IoU is responsible for its cell's object (the first of equals); where no box overlaps it, that
    at the smallest distance in x, y, w and h. The confidence of the responsible box should be its IoU at that moment.
    The choice and the IoU count as constants in the gradient.

    Args:
        num_classes: Number of classes with the background; a cell predicts ``num_classes - 1``.
        backbone: A name of ``backbones.families.NAMES`` or ``timm/<name>``. ``yolo`` and ``fast_yolo`` are the
            paper's own, ``yolo_bn`` and ``fast_yolo_bn`` the same with batch norm, as in darknet's later settings.
        weights: Of the backbone: ``imagenet`` (not for the paper's own), the path of a state dict, or None.
        size: Pixels of both sides of the resized image.
        grid: S, cells of each side; ``size / stride / grid`` must be 1, 2, 4, ..., where stride is the backbone's.
        boxes_per_cell: B of the paper.
        neck_channels: Widths of the 3x3 convolutions after the backbone; the second, and if need be those after it,
            halve the map down to the grid. Default: four of 1,024, on Fast YOLO's backbone three.
        head: ``fully_connected`` as in the paper, or ``convolutional``, see ``GridHead``.
        hidden: Width of the hidden layer of ``head: fully_connected``.
        dropout: Probability in [0, 1) after that layer.
        batch_norm: Of the convolutions after the backbone.
        trainable_layers: How many stages of the backbone are trained, counted from the last; None trains all.
        norm: ``frozen`` or ``train``, see ``build_trunk``.
        channels_last: Memory format of the network; faster on CPU and with bfloat16.
        score_threshold: Detections whose class-specific confidence (eq. 1) is not above go.
        nms_threshold: IoU above which the less likely detection of the same class goes.
        detections_per_image: The best so many are kept.

    Raises:
        UserError: The grid does not fit the size and the backbone.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("coordinates", "size", "object", "no_object", "class")

    def __init__(
        self,
        num_classes: int,
        backbone: str = "yolo",
        weights: str | None = None,
        size: int = 448,
        grid: int = 7,
        boxes_per_cell: int = 2,
        neck_channels: Sequence[int] | None = None,
        head: YOLOHead = "fully_connected",
        hidden: int = 4096,
        dropout: float = 0.5,
        batch_norm: bool = False,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        channels_last: bool = False,
        score_threshold: float = 0.001,
        nms_threshold: float = 0.5,
        detections_per_image: int = 100,
    ) -> None:
        super().__init__()
        self.num_classes, self.size, self.grid, self.boxes_per_cell = num_classes, size, grid, boxes_per_cell
        self.channels_last = channels_last
        self.keep = Keep(score_threshold, nms_threshold, detections_per_image)
        if neck_channels is None:
            neck_channels = [1024] * (3 if backbone.startswith("fast_yolo") else 4)
        trunk = build_trunk(backbone, weights, norm).freeze(trainable_layers)
        last = trunk.stages[-1]
        halvings = _halvings(size, last.stride, grid, len(neck_channels))
        self.backbone = trunk.layers
        self.neck = added_convolutions(last.channels, neck_channels, halvings, batch_norm)
        width = neck_channels[-1] if neck_channels else last.channels
        starts = (*BOX_START * boxes_per_cell, *[0.0] * (num_classes - 1))
        self.head = GridHead(head, width, grid, hidden, dropout, starts)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; Redmon et al. 2016, eq. 3."""
        batch = self._batch(images)
        found, wanted = self._forward(batch), self._assign(batch_objects(targets, batch))
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
        return {name: value / len(images) for name, value in sums.items()}

    def _forward(self, batch: ImageBatch) -> Cells:
        output = self.head(self.neck(self.backbone(batch.pixels))).float()
        boxes = output[..., : 5 * self.boxes_per_cell].unflatten(2, (self.boxes_per_cell, 5))
        return Cells(boxes[..., :4], boxes[..., 4], output[..., 5 * self.boxes_per_cell :])

    def _assign(self, objects: Objects) -> Wanted:
        """Give each object to the cell that holds its centre, and each cell to one of its objects."""
        count = objects.labels.shape[1]
        places = torch.arange(count, device=objects.boxes.device)
        numbers = torch.tensor(objects.counts).to(places.device, non_blocking=True)
        order = random_keys(objects.labels).argsort(dim=1)  # the last of a cell gets it
        real = order < numbers[:, None]
        boxes = take(objects.boxes, order) / self.size
        labels = objects.labels.gather(1, order)
        centres = (boxes[..., :2] + boxes[..., 2:]) * (self.grid / 2)
        corners = centres.floor().clamp(0, self.grid - 1)
        coded = torch.cat((centres - corners, (boxes[..., 2:] - boxes[..., :2]).sqrt()), dim=-1)
        cells = (corners[..., 1] * self.grid + corners[..., 0]).long()
        owner = torch.full((len(boxes), self.grid**2), -1, device=places.device)
        owner = owner.scatter_reduce(1, cells, torch.where(real, places, -1), "amax")
        index = owner.clamp(min=0)
        return Wanted(owner >= 0, take(coded, index), (labels.gather(1, index) - 1).clamp(min=0))

    @torch.no_grad()
    def _responsible(self, found: Cells, wanted: Wanted) -> tuple[Tensor, Tensor]:
        """Return which boxes are responsible for their cell's object, and the IoU of all with it, both (B, N, P)."""
        first, second = self._in_image(found.boxes), self._in_image(wanted.boxes[:, :, None])
        half, other = first[..., 2:] / 2, second[..., 2:] / 2
        low = torch.maximum(first[..., :2] - half, second[..., :2] - other)
        high = torch.minimum(first[..., :2] + half, second[..., :2] + other)
        inter = (high - low).clamp(min=0).prod(dim=-1)
        union = first[..., 2:].prod(dim=-1) + second[..., 2:].prod(dim=-1) - inter
        overlap = inter / union.clamp(min=1e-12)  # two boxes without an area, where there is no object
        apart = (first - second).norm(dim=-1)
        best = torch.where(overlap.amax(dim=2, keepdim=True) > 0, overlap, -apart).argmax(dim=2)
        return F.one_hot(best, self.boxes_per_cell).bool() & wanted.occupied[..., None], overlap

    def _in_image(self, boxes: Tensor) -> Tensor:
        """Turn coded boxes (..., 4) into x, y, w, h relative to the image, with the corner of their cell as origin."""
        return torch.cat((boxes[..., :2] / self.grid, boxes[..., 2:].square()), dim=-1)

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        batch = self._batch(images)
        found = self._forward(batch)
        boxes = clip_boxes(self._decode(found.boxes), batch.sizes)
        # A product of two negative numbers is no probability: each is clipped by itself.
        scores = found.confidence.clamp(0, 1)[..., None] * found.classes.clamp(0, 1)[:, :, None]
        parts = zip(boxes[:, :, None], scores.flatten(1, 2), strict=True)
        return restore([best_of_regions(*regions, self.keep) for regions in parts], batch)

    def _decode(self, boxes: Tensor) -> Tensor:
        """Turn coded boxes (B, N, P, 4) into ``x1, y1, x2, y2`` in pixels of the resized image, (B, N * P, 4)."""
        places = torch.arange(self.grid**2, device=boxes.device)
        corners = torch.stack((places % self.grid, places // self.grid), dim=1)[:, None]
        centre, half = (boxes[..., :2] + corners) / self.grid, boxes[..., 2:].square() / 2
        return torch.cat((centre - half, centre + half), dim=-1).flatten(1, 2) * self.size

    def _batch(self, images: list[Tensor]) -> ImageBatch:
        sizes = [(self.size, self.size)] * len(images)
        return batch_images(images, sizes, self.device, divisible=1, channels_last=self.channels_last)


def _halvings(size: int, stride: int, grid: int, convolutions: int) -> int:
    """Return how often the map of a backbone has to be halved to have ``grid`` cells a side."""
    possible = [count for count in range(max(1, convolutions)) if grid * stride * 2**count == size]
    if not possible:
        raise UserError(
            f"size={size}, grid={grid}: the backbone's last map has stride {stride}, and its {convolutions} new "
            f"convolutions can halve it up to {max(0, convolutions - 1)} times, so size must be {stride} x {grid} = "
            f"{stride * grid} times 1, 2, ... {2 ** max(0, convolutions - 1)}."
        )
    return possible[0]
