"""The boxes of a whole data set, packed."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.packed import Content, Packed, open_packed

Rows = NDArray[np.int64]
Objects = dict[str, Any]
"""What is known of the N objects of an image: an array (N, ...) for each key of the targets."""


class ImageRecord(NamedTuple):
    """What an annotation file says about one image.

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


class PackedBoxes(Packed):
    """What all data sets of boxes have.

    Attributes:
        names: bytes (N,), path of each image relative to the root, UTF-8.
        sizes: int32 (N, 2), width and height.
        offsets: int64 (N + 1,); rows ``offsets[i]:offsets[i + 1]`` of the arrays of objects belong to image i.
        boxes: float32 (M, 4), xyxy in pixels, inside the image, with x2 > x1 and y2 > y1.
        labels: int64 (M,), 1..C.
    """

    sizes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]

    def rows(self, index: int) -> slice:
        """The rows of the objects of image ``index``."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    @abstractmethod
    def trained(self, rows: slice) -> Rows:
        """The rows among these of the objects that are trained on, int64 (K,)."""

    @abstractmethod
    def objects(self, rows: Rows) -> Objects:
        """Writable copies of what targets say about these objects, but for masks."""


B = TypeVar("B", bound=PackedBoxes)


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
        """The rows of the objects that are not difficult."""
        kept: Rows = np.flatnonzero(~self.difficult[rows]) + rows.start
        return kept

    def objects(self, rows: Rows) -> Objects:
        """Boxes, labels and flags; ``area`` is that of the box."""
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
    """Open the cached boxes, after parsing and packing them if they are not there yet; see :func:`open_packed`."""
    return open_packed(PackedAnnotations, cache, key, lambda: _pack(records()), *class_names)


def _pack(records: Iterable[ImageRecord]) -> Content:
    images = list(records)
    sizes = np.array([image.size for image in images], dtype=np.int32).reshape(-1, 2)
    lengths = np.array([len(image.boxes) for image in images], dtype=np.int64)
    boxes = np.array([box for image in images for box in image.boxes], dtype=np.float32).reshape(-1, 4)
    labels = np.array([label for image in images for label in image.labels], dtype=np.int64)
    difficult = np.array([flag for image in images for flag in image.difficult], dtype=np.bool_)

    limits = np.repeat(np.tile(sizes, 2), lengths, axis=0).astype(np.float32)
    clipped = np.clip(boxes, 0, limits)
    valid = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    owners = np.repeat(np.arange(len(images)), lengths)[valid]
    arrays = {
        "names": np.array([image.name.encode() for image in images], dtype=np.bytes_),
        "sizes": sizes,
        "offsets": np.searchsorted(owners, np.arange(len(images) + 1)).astype(np.int64),
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
