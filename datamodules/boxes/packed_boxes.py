"""The boxes of a whole data set, packed."""

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.loading.packed import PackedImages

Rows = NDArray[np.int64]
Objects = dict[str, Any]
"""The N objects of an image: an array (N, ...) for each key of the targets."""


def clip_boxes(boxes: NDArray[np.floating], sizes: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Clip boxes to their images.

    Args:
        boxes: (M, 4), xyxy in pixels.
        sizes: (M, 2), width and height of the image of each box.

    Returns:
        The clipped boxes, float32 (M, 4), and whether each one has an area, bool (M,).
    """
    clipped = np.clip(boxes, 0, np.tile(sizes, 2)).astype(np.float32)
    return clipped, np.all(clipped[:, 2:] > clipped[:, :2], axis=1)


def kept_objects(objects: Objects, boxes: NDArray[np.float32], rows: Rows) -> Objects:
    """Return the objects that remain after an augmentation; areas change in proportion to the boxes.

    Args:
        objects: The N objects before.
        boxes: float32 (K, 4), the new boxes.
        rows: int64 (K,), the object of each one.
    """
    kept: Objects = {name: column[rows] for name, column in objects.items()}
    before, after = ((corners[:, 2:] - corners[:, :2]).prod(axis=1) for corners in (kept["boxes"], boxes))
    return kept | {"boxes": boxes, "area": kept["area"] * (after / before)}


class PackedBoxes(PackedImages):
    """Packed images with boxes; base of the box data sets.

    Attributes:
        offsets: int64 (N + 1,); rows ``offsets[i]:offsets[i + 1]`` of the arrays of objects belong to image i.
        boxes: float32 (M, 4), xyxy in pixels, inside the image, with x2 > x1 and y2 > y1.
        labels: int64 (M,), 1..C.
    """

    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]

    def rows(self, index: int) -> slice:
        """Return the rows of the objects of image ``index``."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    @abstractmethod
    def trained(self, rows: slice) -> Rows:
        """Return the rows of the objects to train on, int64 (K,), from a range of rows."""

    @abstractmethod
    def objects(self, rows: Rows) -> Objects:
        """Return writable copies of the target fields of these objects, without masks."""


B = TypeVar("B", bound=PackedBoxes)
