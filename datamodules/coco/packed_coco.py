"""The packed objects of COCO: boxes, and masks and joints on request."""

from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import Objects, PackedBoxes, Rows
from datamodules.coco.categories import Facts
from datamodules.coco.masks import polygon_runs
from lit_cv.ops.mask_runs import MaskRuns


class PackedCOCO(PackedBoxes):
    """Packed objects of COCO. Masks stay polygons or runs, as annotated; :meth:`masks` converts them.

    Attributes:
        classes: bytes (C,), names of labels 1..C, UTF-8.
        areas: float32 (M,), as annotated: of the segmentation, in square pixels.
        crowds: int64 (M,), 1 for a region of many objects that are not annotated one by one.
        points: float64 (V,), x and y of the corners of polygons in turn, in pixels.
        corners: int64 (Q + 1,); ``points[corners[q]:corners[q + 1]]`` is polygon q.
        runs: uint32 (R,), of the masks that are annotated as runs, in COCO's column-by-column order.
        polygons: int64 (M, 2), first and last + 1 of each object's polygons; (0, 2) without masks.
        spans: int64 (M, 2), first and last + 1 of each object's runs; an object with runs has no polygons; (0, 2)
            without masks.
        joints: float32 (M, K, 3), x and y in pixels, (0, 0) the center of the first one, and the flag: 0 not labeled
            (and x = y = 0), 1 labeled but hidden, 2 labeled and visible; (0, 0, 3) without joints.
        joint_names: bytes (K,), UTF-8.
        limbs: int64 (L, 2), joints that a line connects in pictures, from 0.
        counts: Numbers of images, of images without objects, of boxes, of crowds, and of boxes that were clipped or
            dropped (no area); with masks, also of dropped polygons and of objects dropped because they have no mask;
            with joints, also of objects with labeled joints.
    """

    KIND: ClassVar[str] = "coco-2"
    ARRAYS: ClassVar[tuple[str, ...]] = (
        "names", "sizes", "offsets", "boxes", "labels", "classes", "areas", "crowds", "points", "corners", "runs",
        "polygons", "spans", "joints", "joint_names", "limbs",
    )  # fmt: skip
    classes: NDArray[np.bytes_]
    areas: NDArray[np.float32]
    crowds: NDArray[np.int64]
    points: NDArray[np.float64]
    corners: NDArray[np.int64]
    runs: NDArray[np.uint32]
    polygons: NDArray[np.int64]
    spans: NDArray[np.int64]
    joints: NDArray[np.float32]
    joint_names: NDArray[np.bytes_]
    limbs: NDArray[np.int64]

    @property
    def facts(self) -> Facts:
        """The names of the classes and joints, and the limbs."""
        classes, joints = (tuple(bytes(name).decode() for name in names) for names in (self.classes, self.joint_names))
        return Facts(classes, joints, tuple((start, end) for start, end in self.limbs.tolist()))

    def trained(self, rows: slice) -> Rows:
        """Return the rows of the objects that are no crowds."""
        kept: Rows = np.flatnonzero(self.crowds[rows] == 0) + rows.start
        return kept

    def objects(self, rows: Rows) -> Objects:
        """Return boxes, labels, areas and crowd flags; with joints, also ``keypoints`` float32 (N, K, 3)."""
        objects: Objects = {
            "boxes": self.boxes[rows],
            "labels": self.labels[rows],
            "area": self.areas[rows],
            "iscrowd": self.crowds[rows],
        }
        return objects | ({"keypoints": self.joints[rows]} if len(self.joint_names) else {})

    def masks(self, rows: Rows, size: tuple[int, int]) -> MaskRuns:
        """Return the masks of objects of an image, exactly those of pycocotools.

        Args:
            rows: int64 (N,), the objects.
            size: Height and width of the image.
        """
        masks = [self._mask(row, size) for row in rows.tolist()]
        runs = torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *masks]))
        return MaskRuns(runs, torch.tensor([len(mask) for mask in masks], dtype=torch.int64), size)

    def _mask(self, row: int, size: tuple[int, int]) -> NDArray[np.int64]:
        first, last = self.polygons[row].tolist()
        if first == last:
            return self.runs[slice(*self.spans[row].tolist())].astype(np.int64)
        ends = self.corners[first : last + 1].tolist()
        return polygon_runs([self.points[start:end] for start, end in pairwise(ends)], *size)
