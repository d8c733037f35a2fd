"""The annotations of Pascal VOC, packed."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import Objects, PackedBoxes, Rows, clip_boxes
from datamodules.defects import outside_in_words
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
        remarks: What the annotation lacks, and what is taken instead.
    """

    name: str
    size: tuple[int, int]
    boxes: list[tuple[float, float, float, float]]
    labels: list[int]
    difficult: list[bool]
    remarks: tuple[str, ...] = ()


class PackedAnnotations(PackedBoxes):
    """Packed boxes of Pascal VOC.

    Attributes:
        difficult: bool (M,).
        counts: Number of images, boxes, difficult boxes, and of the boxes that were clipped or dropped.
    """

    KIND: ClassVar[str] = "annotations-2"
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

    refuse_fractions(images)
    clipped, valid = clip_boxes(boxes, np.repeat(sizes, lengths, axis=0))
    owners = np.repeat(np.arange(len(images)), lengths)
    arrays = {
        "names": as_bytes(image.name for image in images),
        "sizes": sizes,
        "offsets": offsets_of(owners[valid], len(images)),
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
    lost = (*_dropped(images, owners, boxes, valid), *_outside(boxes[valid], clipped[valid]))
    return Content(arrays, counts, (*_remarks(images), *lost))


def refuse_fractions(images: Sequence[ImageRecord]) -> None:
    """Check that the corners of a set's boxes are pixels.

    Raises:
        UserError: If most boxes end within the first pixel of their image.
    """
    ends = [max(box[2:]) for image in images for box in image.boxes]
    tiny = sum(end <= 1 for end in ends)
    if 2 * tiny > len(ends):
        first = next(image.name for image in images if any(max(box[2:]) <= 1 for box in image.boxes))
        raise UserError(
            f"{tiny} of {len(ends)} boxes of {first} and the other images of its set end within the first pixel, as if "
            "corners were fractions of width and height: write them in pixels, counted from 1."
        )


def _remarks(images: Sequence[ImageRecord]) -> Iterator[str]:
    """Yield what annotations lack, each once."""
    owners: dict[str, list[str]] = {}
    for image in images:
        for remark in image.remarks:
            owners.setdefault(remark, []).append(image.name)
    for remark, names in owners.items():
        yield f"The annotation of {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} has {remark}."


def _dropped(
    images: Sequence[ImageRecord], owners: NDArray[np.int64], boxes: NDArray[np.float32], valid: NDArray[np.bool_]
) -> Iterator[str]:
    """Yield a sentence about the boxes that are dropped, and one about those that are fractions, if there are any."""
    fractions = valid & (boxes[:, 2:] <= 1).all(axis=1)
    for chosen, what in (
        (~valid, "have no area within their image and are dropped"),
        (fractions, "end within the first pixel, as if their corners were fractions of width and height"),
    ):
        if chosen.any():
            first = images[owners[chosen][0]].name
            yield f"{chosen.sum()} of {len(valid)} boxes {what} ({first}, ...); `litcv doctor` lists them."


def _outside(boxes: NDArray[np.float32], clipped: NDArray[np.float32]) -> Iterator[str]:
    """Yield a sentence about the boxes that are clipped, if there are any."""
    if outside := outside_in_words(boxes, clipped):
        yield f"{outside}; `litcv doctor` lists them."


def _check(image: ImageRecord, num_classes: int) -> None:
    for label in image.labels:
        if not 1 <= label <= num_classes:
            raise UserError(f"{image.name}: a box has label {label}, but the classes are 1..{num_classes}: fix it.")
    for box in image.boxes:
        if not all(map(math.isfinite, box)):
            raise UserError(f"{image.name}: the corners {box} are not finite: fix the box.")
