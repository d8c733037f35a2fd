"""The regions of a training set as one table, and the selection of those that train SVMs and box regressors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_cv.ops.boxes import encode_boxes, pairwise_iou

NEGATIVE = 0.3  # regions below this IoU with all objects of a class are its negatives (section 2.3)
PAIR = 0.6  # from this IoU with an object on, a region is trained to become its box (appendix C)


@dataclass(frozen=True)
class Pairs:
    """Regions near an object.

    Attributes:
        rows: int64 (P,), ascending.
        classes: Class of the object, int64 (P,), counted from 0 without the background.
        deltas: float32 (P, 4), from the region to the object's box (appendix C, eq. 6-9).
    """

    rows: Tensor
    classes: Tensor
    deltas: Tensor


@dataclass(frozen=True)
class RegionRows:
    """Objects and proposals of all images, image by image, with the objects of an image first.

    Attributes:
        boxes: float32 (R, 4), in pixels of the given image.
        labels: int64 (R,), class of an object, 0 for a proposal.
        offsets: int64 (N + 1,); rows ``offsets[i]`` to ``offsets[i + 1]`` belong to image i.
    """

    boxes: Tensor
    labels: Tensor
    offsets: Tensor

    @classmethod
    def collect(cls, targets: Iterable[dict[str, Tensor]], difficult: bool, limit: int) -> "RegionRows":
        """Join the targets of all images.

        Args:
            targets: One target per image, with ``proposals``.
            difficult: Whether objects flagged as difficult count; the published code leaves them out.
            limit: Maximum number of proposals per image, best first.
        """
        boxes, labels, lengths = [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)], [0]
        for target in targets:
            flags = target.get("difficult", torch.zeros_like(target["labels"], dtype=torch.bool))
            kept = ~flags | difficult
            proposals = target["proposals"][:limit]
            boxes += [target["boxes"][kept], proposals]
            labels += [target["labels"][kept], torch.zeros(len(proposals), dtype=torch.int64)]
            lengths.append(len(labels[-1]) + len(labels[-2]))
        return cls(torch.cat(boxes), torch.cat(labels), torch.tensor(lengths).cumsum(0))

    def __len__(self) -> int:
        return len(self.labels)

    def positives(self, classes: int) -> list[Tensor]:
        """Return the rows of the objects of each class."""
        return [(self.labels == label).nonzero()[:, 0] for label in range(1, classes + 1)]

    def blocks(self, rows: int) -> list[tuple[int, int]]:
        """Divide the images into runs, ``(first, end)``, of at least ``rows`` rows each, except the last."""
        blocks, first = [], 0
        for image in range(1, len(self.offsets)):
            if self.offsets[image] - self.offsets[first] >= rows or image == len(self.offsets) - 1:
                blocks.append((first, image))
                first = image
        return blocks

    def negatives(self, first: int, end: int, classes: int) -> Tensor:
        """Return bool (n, ``classes``): true if a row of the images ``first`` to ``end`` is a negative of the class."""
        return torch.cat([self._overlaps(image, classes) < NEGATIVE for image in range(first, end)])

    def _overlaps(self, image: int, classes: int) -> Tensor:
        """Return the largest IoU of each row of an image with an object of each class, (n, ``classes``)."""
        rows = slice(int(self.offsets[image]), int(self.offsets[image + 1]))
        objects = self.labels[rows] > 0
        boxes = self.boxes[rows]
        overlap = pairwise_iou(boxes, boxes[objects])
        index = (self.labels[rows][objects] - 1).expand_as(overlap)
        return boxes.new_zeros(len(boxes), classes).scatter_reduce_(1, index, overlap, "amax")

    def pairs(self) -> Pairs:
        """Pair each region with the object that it overlaps most; objects count as regions too."""
        found = [self._pairs_of(image) for image in range(len(self.offsets) - 1)]
        rows, objects = (torch.cat([pair[part] for pair in found]) for part in (0, 1))
        return Pairs(rows, self.labels[objects] - 1, encode_boxes(self.boxes[objects], self.boxes[rows]))

    def _pairs_of(self, image: int) -> tuple[Tensor, Tensor]:
        first, end = self.offsets[image : image + 2].tolist()
        objects = self.labels[first:end].nonzero()[:, 0]
        if not len(objects):
            return objects, objects
        best, index = pairwise_iou(self.boxes[first:end], self.boxes[first + objects]).max(dim=1)
        rows = (best >= PAIR).nonzero()[:, 0]
        return first + rows, first + objects[index[rows]]

    def split(self, rows: Tensor, first: int, count: int) -> Iterator[Tensor]:
        """Yield, for each of ``count`` images from ``first`` on, the boxes of its part of ``rows`` (ascending)."""
        bounds = torch.searchsorted(rows, self.offsets[first : first + count + 1]).tolist()
        for image in range(count):
            yield self.boxes[rows[bounds[image] : bounds[image + 1]]]
