"""The content of COCO's annotation files as flat arrays."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Categories = list[dict[str, Any]]


class Images(NamedTuple):
    """The images of a file.

    Attributes:
        ids: int64 (N,).
        names: File names.
        sizes: int32 (N, 2), width and height in pixels, -1 if the file does not say.
    """

    ids: NDArray[np.int64]
    names: list[str]
    sizes: NDArray[np.int32]

    def of_rows(self, rows: NDArray[np.bool_]) -> "Images":
        """Return some of the images, bool (N,)."""
        names = [name for name, kept in zip(self.names, rows.tolist(), strict=True) if kept]
        return Images(self.ids[rows], names, self.sizes[rows])


class Segmentations(NamedTuple):
    """The masks of M annotations as written: each a union of polygons, or runs (RLE), or nothing.

    Attributes:
        points: float64 (V,), x and y of the corners of all polygons in turn, in pixels.
        corners: int64 (Q,), count of each polygon's numbers in ``points``.
        polygons: int64 (M,), number of each annotation's polygons.
        runs: uint32 (R,), in COCO's column-by-column order.
        lengths: int64 (M,), number of each annotation's runs, 0 unless it is an RLE.
        sizes: int64 (M, 2), width and height of each RLE, -1 without one.
        short: int64 (M,), number of each annotation's polygons that have fewer than three corners, and are left out.
        odd: int64 (M,), number of each annotation's polygons that have an odd count of numbers, and are left out.
    """

    points: NDArray[np.float64]
    corners: NDArray[np.int64]
    polygons: NDArray[np.int64]
    runs: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    sizes: NDArray[np.int64]
    short: NDArray[np.int64]
    odd: NDArray[np.int64]

    def of_rows(self, rows: NDArray[np.bool_]) -> "Segmentations":
        """Return those of some annotations, bool (M,)."""
        polygons = np.repeat(rows, self.polygons)
        return Segmentations(
            self.points[np.repeat(polygons, self.corners)],
            self.corners[polygons],
            self.polygons[rows],
            self.runs[np.repeat(rows, self.lengths)],
            self.lengths[rows],
            self.sizes[rows],
            self.short[rows],
            self.odd[rows],
        )


class Annotations(NamedTuple):
    """M annotations as written.

    Attributes:
        ids: int64 (M,).
        images: int64 (M,), id of the image.
        categories: int64 (M,), id of the category.
        boxes: float64 (M, 4), x, y, width and height in pixels.
        areas: float64 (M,), area of the segmentation in square pixels; that of the box if the file does not say.
        unmeasured: bool (M,), whether the file lacks the area.
        crowds: int64 (M,), 1 for a region of many objects that are not annotated one by one; -1, which means 0, if the
            flag is missing or null.
        joints: float64 (J,), x, y and flag of all joints in turn; empty unless requested.
        joint_counts: int64 (M,), count of each annotation's numbers in ``joints``; empty unless requested.
        labeled: int64 (M,), the number of labeled joints as written, -1 if missing; empty unless requested.
    """

    ids: NDArray[np.int64]
    images: NDArray[np.int64]
    categories: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    unmeasured: NDArray[np.bool_]
    crowds: NDArray[np.int64]
    joints: NDArray[np.float64]
    joint_counts: NDArray[np.int64]
    labeled: NDArray[np.int64]

    def of_rows(self, rows: NDArray[np.bool_]) -> "Annotations":
        """Return some of the annotations, bool (M,)."""
        joints = len(self.joint_counts) > 0  # else none were read, and their columns are empty
        return Annotations(
            self.ids[rows],
            self.images[rows],
            self.categories[rows],
            self.boxes[rows],
            self.areas[rows],
            self.unmeasured[rows],
            self.crowds[rows],
            self.joints[np.repeat(rows, self.joint_counts)] if joints else self.joints,
            self.joint_counts[rows] if joints else self.joint_counts,
            self.labeled[rows] if joints else self.labeled,
        )


class File(NamedTuple):
    """The content of an annotation file.

    Attributes:
        images: The images.
        annotations: The annotations, in the order of the file.
        segmentations: Their masks; None unless requested.
        categories: The categories' records in ascending order of their ids.
        root: An unannotated category that is left out of ``categories``, see
            :func:`datamodules.coco.categories.synthetic_root`; None without one.
        complete: Whether every image and category has a usable record.
    """

    images: Images
    annotations: Annotations
    segmentations: Segmentations | None
    categories: Categories
    root: dict[str, Any] | None
    complete: bool

    def of_images(self, rows: NDArray[np.bool_]) -> "File":
        """Return some of the images, bool (N,), with their annotations."""
        kept = np.isin(self.annotations.images, self.images.ids[rows])
        return self.of_rows(kept)._replace(images=self.images.of_rows(rows))

    def of_rows(self, rows: NDArray[np.bool_]) -> "File":
        """Return the file with some of its annotations, bool (M,)."""
        masks = None if self.segmentations is None else self.segmentations.of_rows(rows)
        return self._replace(annotations=self.annotations.of_rows(rows), segmentations=masks)
