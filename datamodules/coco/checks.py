"""The rules of COCO's annotations, each written once.

Packing stops at the first error and repairs what the functions named ``..._repairs`` find; ``litcv doctor`` lists both.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import clip_boxes
from datamodules.coco.categories import category_errors, category_notes, joints_of
from datamodules.coco.files import COCOSet
from datamodules.coco.joint_checks import JointTable, dense_joints, joint_errors, joint_repairs
from datamodules.coco.mask_checks import mask_repairs, size_errors
from datamodules.coco.pictures import Pictures
from datamodules.coco.tables import File, Images
from datamodules.defects import (
    Defect,
    Finding,
    box_defects,
    finite_boxes,
    found_defects,
    looks_normalized,
    repeated,
)

Rows = NDArray[np.int64]


def errors(path: Path, file: File, keypoints: bool) -> Iterator[Defect]:
    """Yield the defects that make a file unusable.

    Args:
        path: The annotation file.
        file: Its content.
        keypoints: Whether objects have joints.
    """
    yield from category_errors(path, file.categories, keypoints)
    yield from image_errors(path, file.images)
    table = _Table(path, file)
    yield from _normalized(table)
    yield from table.boxes(damaged=True)
    yield from found_defects(path, table.name, _annotation_errors(table))


def repairs(source: COCOSet, file: File) -> Iterator[Defect]:
    """Yield the defects that packing repairs by clipping or dropping, and notes about images of crowds only."""
    table = _Table(source.file, file)
    yield from _crowd_only(source, file, table.owners)
    yield from table.boxes(damaged=False)
    yield from found_defects(source.file, table.name, _annotation_repairs(table))


def folder_errors(source: COCOSet) -> Iterator[Defect]:
    """Yield a defect if the folder of a set's images is missing."""
    if not source.images.is_dir():
        fix = (
            "set data.images to their folder"
            if source.own
            else "name their folder with data.images and the file with data.annotations"
        )
        what = f"is no folder, though {source.file} describes its images: put them there, or {fix}"
        yield Defect(source.images, what, "missing folder")


def image_errors(path: Path, images: Images) -> Iterator[Defect]:
    """Yield the images that a file lists twice."""
    names = np.array(images.names)
    for number in images.ids[repeated(images.ids)].tolist():
        yield Defect(path, f"has two images with the id {number}: fix the file", "duplicate id")
    for name in names[repeated(names)].tolist():
        yield Defect(path, f"lists the image {name} a second time: fix the file", "image listed twice")


def _normalized(table: "_Table") -> Iterator[Defect]:
    """Yield a defect if the coordinates are shares of the image: as pixels, no object would be larger than one."""
    masks, joints = table.file.segmentations, table.annotations.joints
    joints = joints.reshape(-1, 3) if len(joints) % 3 == 0 else np.zeros((0, 3))
    for name, values in (
        ("boxes", table.annotations.boxes),
        ("polygons", np.zeros(0) if masks is None else masks.points),
        ("keypoints", joints[joints[:, 2] > 0, :2]),
    ):
        if looks_normalized(values):
            what = (
                f"has {name} that all lie within one pixel, so the coordinates are shares of the image, not pixels: "
                "multiply them by the width and height"
            )
            yield Defect(table.path, what, "normalized coordinates")


def _crowd_only(source: COCOSet, file: File, owners: Rows) -> Iterator[Defect]:
    crowds = owners[(owners >= 0) & (file.annotations.crowds == 1)]
    count = len(file.images.ids)
    all_of, crowds_of = (np.bincount(rows, minlength=count) for rows in (owners[owners >= 0], crowds))
    for place in np.flatnonzero((all_of > 0) & (all_of == crowds_of)).tolist():
        what = f"has only crowd annotations ({all_of[place]}): nothing in it is trained on"
        yield Defect(source.images / file.images.names[place], what, "crowd-only image", note=True)


class Usable(NamedTuple):
    """The M annotations of a file, as packing takes them.

    Attributes:
        owners: int64 (M,), index of each annotation's image; -1 if the file does not list it.
        corners: float64 (M, 4), the boxes as xyxy in pixels.
        boxes: float32 (M, 4), the same, clipped to the image.
        solid: bool (M,), whether the clipped box has an area.
        kept: bool (M,), whether the object is kept: it has an area and, with masks, a mask.
        counts: Numbers of kept objects (``boxes``), of ``crowds`` among them, of those ``dropped`` because they have no
            area; with masks, also of others ``without_mask``; with joints, also of kept ones ``with_joints``.
    """

    owners: Rows
    corners: NDArray[np.float64]
    boxes: NDArray[np.float32]
    solid: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    counts: dict[str, int]


def usable_objects(file: File) -> Usable:
    """Choose the objects of a file that can be used."""
    annotations, masks, table = file.annotations, file.segmentations, _Table(Path(), file)
    corners = corners_of(annotations.boxes)
    boxes, solid = clip_boxes(np.nan_to_num(corners), table.sizes)
    kept = solid & (table.owners >= 0)
    if masks is not None:
        kept = kept & ((masks.polygons > 0) | (masks.lengths > 0))
    counts = {
        "boxes": int(kept.sum()),
        "crowds": int((annotations.crowds[kept] > 0).sum()),
        "dropped": int((~solid).sum()),
    }
    if masks is not None:
        counts["without_mask"] = int((solid & ~kept).sum())
    if len(annotations.joint_counts):
        flags = dense_joints(annotations, len(joints_of(file.categories)))[kept, :, 2]
        counts["with_joints"] = int((flags > 0).any(axis=1).sum())
    return Usable(table.owners, corners, boxes, solid, kept, counts)


def nothing_to_train(path: Path, counts: Mapping[str, int], keypoints: bool) -> Iterator[Defect]:
    """Yield a defect if the training sets leave nothing to learn.

    Args:
        path: The annotation file of the first set.
        counts: Those of :class:`Usable`, summed over the sets.
        keypoints: Whether joints are to be learned.
    """
    lost = {"without an area": counts["dropped"], "without a usable mask": counts.get("without_mask", 0)}
    total, crowds = counts["boxes"] + sum(lost.values()), counts["crowds"]
    reasons = [f"{count} {reason}" for reason, count in (lost | {"that are crowds": crowds}).items() if count]
    if not total:
        yield Defect(
            path, "has no annotation, so there is nothing to train on: annotate objects", "nothing to train on"
        )
    elif counts["boxes"] == crowds:
        what = f"leaves nothing to train on: of {total} annotations, {', '.join(reasons)}; fix them"
        yield Defect(path, what, "nothing to train on")
    elif keypoints and not counts["with_joints"]:
        what = f"labels no joint of {total} annotations, so there is no joint to train on: label some"
        yield Defect(path, what, "nothing to train on")


def notes(source: COCOSet, file: File, pictures: Pictures, keypoints: bool) -> Iterator[Defect]:
    """Yield how gaps of a file are filled, each kind once with its count; and unusable limbs.

    Args:
        source: The set.
        file: Its content.
        pictures: Its image files.
        keypoints: Whether objects have joints.
    """
    annotations = file.annotations
    gaps = (
        (annotations.unmeasured, "area", "width x height of the box is taken"),
        (annotations.crowds < 0, "iscrowd", "they count as single objects"),
        (annotations.joint_counts == 0, "keypoints", "they are boxes without labeled joints"),
    )
    for rows, field, filling in gaps:
        if count := int(rows.sum()):
            what = f"has {count} of {len(rows)} annotations without {field}: {filling}"
            yield Defect(source.file, what, f"missing {field}", note=True)
    if pictures.measured:
        what = f"has {pictures.measured} images without width and height: those of the image files are taken"
        yield Defect(source.file, what, "missing size", note=True)
    if pictures.translated:
        what = (
            f"names {pictures.translated} images by paths from elsewhere, such as {pictures.example!r}: they are read "
            f"as paths below {source.images} or {source.images.parent}"
        )
        yield Defect(source.file, what, "translated file name", note=True)
    yield from category_notes(source.file, file.categories, file.root, keypoints)


class _Table:
    """The annotations of a file with their images.

    Attributes:
        owners: int64 (M,), index of each annotation's image; -1 if the file does not list it.
        sizes: float64 (M, 2), width and height of the image; infinite if unknown.
    """

    def __init__(self, path: Path, file: File) -> None:
        self.path, self.file, self.annotations = path, file, file.annotations
        self.names = {category["id"]: category["name"] for category in file.categories}
        self.owners = places_of(file.images.ids, file.annotations.images)
        listed = np.concatenate([file.images.sizes, [[-1, -1]]])[self.owners]
        self.sizes = np.where(listed < 0, np.inf, listed)

    def name(self, row: int) -> str:
        """Return the name of an annotation in sentences."""
        kind = self.names.get(int(self.annotations.categories[row]), "of an unknown category")
        return f"annotation {self.annotations.ids[row]} ({kind}) of image {self.annotations.images[row]}"

    def boxes(self, damaged: bool) -> list[Defect]:
        """Return the defects of boxes of listed images: of damaged boxes, or of all others."""
        boxes = corners_of(self.annotations.boxes)
        rows = np.flatnonzero((self.owners >= 0) & (finite_boxes(boxes) != damaged))
        return box_defects(self.path, lambda place: self.name(rows[place]), boxes[rows], self.sizes[rows])


def corners_of(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return boxes (M, 4), given as x, y, width and height, as xyxy."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def places_of(ids: Rows, wanted: Rows) -> Rows:
    """Return the index of each wanted number in ``ids``; -1 if it is missing."""
    if not len(ids):
        return np.full(len(wanted), -1)
    order = np.argsort(ids)
    found = order[np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)]
    return np.where(ids[found] == wanted, found, -1)


def _annotation_errors(table: _Table) -> Iterator[Finding]:
    annotations, masks = table.annotations, table.file.segmentations

    def category(row: int) -> str:
        return f"has the category {annotations.categories[row]}, which the file does not name: fix it"

    yield Finding(repeated(annotations.ids), "duplicate id", lambda _: "has the id of another annotation: fix the file")
    yield Finding(
        ~np.isfinite(annotations.areas), "area not finite", lambda _: "has an area that is not finite: fix it"
    )
    if table.file.complete:  # else the image or category has an unusable record, which is a defect of its own
        yield Finding(
            table.owners < 0, "annotation without image", lambda _: "is of an image that the file does not list: fix it"
        )
        yield Finding(~np.isin(annotations.categories, list(table.names)), "unknown category", category)
    if masks is not None:
        yield size_errors(masks, table.sizes)
    if joints := joints_of(table.file.categories) if len(annotations.joint_counts) else []:
        yield from joint_errors(JointTable(annotations, table.sizes, joints))


def _annotation_repairs(table: _Table) -> Iterator[Finding]:
    annotations, masks = table.annotations, table.file.segmentations
    yield Finding(annotations.crowds > 1, "unusable iscrowd", lambda _: "has an iscrowd other than 0 and 1: fix it")
    if masks is not None:
        yield from mask_repairs(masks, table.sizes)
    if joints := joints_of(table.file.categories) if len(annotations.joint_counts) else []:
        yield from joint_repairs(JointTable(annotations, table.sizes, joints))
