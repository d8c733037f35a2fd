"""The annotations of Pascal VOC, packed."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import Objects, PackedBoxes, Rows, clip_boxes
from datamodules.loading.packed import Content, as_bytes, offsets_of, open_packed
from lit_cv.errors import UserError


class ImageRecord(NamedTuple):
    """The annotation of one image.

    Attributes:
        name: Path of the image relative to the data set's root.
        size: Width and height in pixels.
        boxes: Corners (x1, y1, x2, y2) in pixels, as annotated: they may lie outside or have no area.
        labels: Class of each box, 1..C.
        difficult: Flag of each box.
    """

    name: str
    size: tuple[int, int]
    boxes: list[tuple[float, float, float, float]]
    labels: list[int]
    difficult: list[bool]


class PackedAnnotations(PackedBoxes):
    """Packed boxes of Pascal VOC.

    Attributes:
        difficult: bool (M,).
        counts: Number of images, boxes, difficult boxes, and of the boxes that were clipped or dropped.
    """

    KIND: ClassVar[str] = "annotations-1"
    ARRAYS: ClassVar[tuple[str, ...]] = ("names", "sizes", "offsets", "boxes", "labels", "difficult")
    difficult: NDArray[np.bool_]

    def trained(self, rows: slice) -> Rows:
        """Return the rows of the objects that are not difficult."""
        kept: Rows = np.flatnonzero(~self.difficult[rows]) + rows.start
        return kept

    def objects(self, rows: Rows) -> Objects:
        """Return boxes, labels and flags; ``area`` is that of the box."""
        boxes = self.boxes[rows]
        return {
            "boxes": boxes,
            "labels": self.labels[rows],
            "difficult": self.difficult[rows],
            "area": (boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
            "iscrowd": np.zeros(len(rows), dtype=np.int64),
        }


def open_annotations(
    cache: Path, key: str, records: Callable[[], Iterable[ImageRecord]], class_names: Sequence[str]
) -> PackedAnnotations:
    """Open the cached boxes; parse and pack them first if they are not cached yet; see :func:`open_packed`.

    Raises:
        UserError: If a label is not in 1..C, or a corner is not finite.
    """
    return open_packed(PackedAnnotations, cache, key, lambda: _pack(records(), len(class_names)), *class_names)


def _pack(records: Iterable[ImageRecord], num_classes: int) -> Content:
    images = list(records)
    for image in images:
        _check(image, num_classes)
    sizes = np.array([image.size for image in images], dtype=np.int32).reshape(-1, 2)
    lengths = np.array([len(image.boxes) for image in images], dtype=np.int64)
    boxes = np.array([box for image in images for box in image.boxes], dtype=np.float32).reshape(-1, 4)
    labels = np.array([label for image in images for label in image.labels], dtype=np.int64)
    difficult = np.array([flag for image in images for flag in image.difficult], dtype=np.bool_)

    clipped, valid = clip_boxes(boxes, np.repeat(sizes, lengths, axis=0))
    owners = np.repeat(np.arange(len(images)), lengths)[valid]
    arrays = {
        "names": as_bytes(image.name for image in images),
        "sizes": sizes,
        "offsets": offsets_of(owners, len(images)),
        "boxes": clipped[valid],
        "labels": labels[valid],
        "difficult": difficult[valid],
    }
    counts = {
        "images": len(images),
        "boxes": int(valid.sum()),
        "difficult": int(difficult[valid].sum()),
        "clipped": int(((clipped != boxes).any(axis=1) & valid).sum()),
        "dropped": int((~valid).sum()),
    }
    return Content(arrays, counts)


def _check(image: ImageRecord, num_classes: int) -> None:
    for label in image.labels:
        if not 1 <= label <= num_classes:
            raise UserError(f"{image.name}: a box has label {label}, but the classes are 1..{num_classes}: fix it.")
    for box in image.boxes:
        if not all(map(math.isfinite, box)):
            raise UserError(f"{image.name}: the corners {box} are not finite: fix the box.")
