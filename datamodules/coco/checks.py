"""The rules of COCO's annotations, each written once.

Packing stops at the first error and repairs what the functions named ``..._repairs`` find; ``litcv doctor`` lists both.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.files import COCOSet, Facts
from datamodules.coco.joint_checks import JointTable, joint_errors, joint_repairs
from datamodules.coco.mask_checks import mask_repairs, size_errors
from datamodules.coco.tables import Categories, File, Images
from datamodules.defects import Defect, Finding, box_defects, finite_boxes, found_defects, repeated

Rows = NDArray[np.int64]


def errors(path: Path, file: File, keypoints: bool) -> Iterator[Defect]:
    """Yield the defects that make a file unusable.

    Args:
        path: The annotation file.
        file: Its content.
        keypoints: Whether objects have joints.
    """
    yield from category_errors(path, file.categories, keypoints)
    yield from _image_errors(path, file.images)
    table = _Table(path, file)
    yield from table.boxes(damaged=True)
    yield from found_defects(path, table.name, _annotation_errors(table))


def repairs(source: COCOSet, file: File) -> Iterator[Defect]:
    """Yield the defects that packing repairs by clipping, dropping or completing, and images of crowds only."""
    table = _Table(source.file, file)
    yield from _crowd_only(source, file, table.owners)
    yield from table.boxes(damaged=False)
    yield from found_defects(source.file, table.name, _annotation_repairs(table))


def folder_errors(source: COCOSet) -> Iterator[Defect]:
    """Yield a defect if the folder of a set's images is missing."""
    if not source.images.is_dir():
        what = f"is no folder, though {source.file} describes its images: put them there"
        yield Defect(source.images, what, "missing folder")


def category_errors(path: Path, categories: Categories, keypoints: bool) -> Iterator[Defect]:
    """Yield the defects of a file's categories.

    Args:
        path: The annotation file.
        categories: Its categories.
        keypoints: Whether they need joints.
    """
    if not categories:
        yield Defect(path, "has no categories: it is no COCO file of objects; fix root", "unusable categories")
    joints = [category.get("keypoints") for category in categories] if keypoints else []
    names, ids = (np.array([category[key] for category in categories]) for key in ("name", "id"))
    if any(own != joints[0] for own in joints):
        what = "has categories with different joints: keep one kind of skeleton in the file"
        yield Defect(path, what, "unusable categories")
    elif joints and not joints[0]:
        what = "has no joints in its categories: use person_keypoints_<set>.json"
        yield Defect(path, what, "unusable categories")
    for name in names[repeated(names)].tolist():
        yield Defect(path, f"has two categories named {name!r}: fix the file", "unusable categories")
    for number in ids[repeated(ids)].tolist():
        yield Defect(path, f"has two categories with the id {number}: fix the file", "duplicate id")


def disagreement(path: Path, facts: Facts, first: Path, expected: Facts) -> Iterator[Defect]:
    """Yield a defect if the facts of a file differ from those of the first one."""
    if facts != expected:
        yield Defect(path, f"has other categories than {first}: choose sets that agree", "unusable categories")


def _image_errors(path: Path, images: Images) -> Iterator[Defect]:
    names = np.array(images.names)
    for number in images.ids[repeated(images.ids)].tolist():
        yield Defect(path, f"has two images with the id {number}: fix the file", "duplicate id")
    for name in names[repeated(names)].tolist():
        yield Defect(path, f"lists the image {name} a second time: fix the file", "image listed twice")


def _crowd_only(source: COCOSet, file: File, owners: Rows) -> Iterator[Defect]:
    crowds = owners[(owners >= 0) & (file.annotations.crowds == 1)]
    count = len(file.images.ids)
    all_of, crowds_of = (np.bincount(rows, minlength=count) for rows in (owners[owners >= 0], crowds))
    for place in np.flatnonzero((all_of > 0) & (all_of == crowds_of)).tolist():
        what = f"has only crowd annotations ({all_of[place]}): nothing in it is trained on"
        yield Defect(source.images / file.images.names[place], what, "crowd-only image", note=True)


class _Table:
    """The annotations of a file with their images.

    Attributes:
        owners: int64 (M,), index of each annotation's image; -1 if the file does not list it.
        sizes: float64 (M, 2), width and height of the image; infinite if it is not listed.
    """

    def __init__(self, path: Path, file: File) -> None:
        self.path, self.file, self.annotations = path, file, file.annotations
        self.names = {category["id"]: category["name"] for category in file.categories}
        self.owners = places_of(file.images.ids, file.annotations.images)
        self.sizes = np.where(self.owners[:, None] < 0, np.inf, file.images.sizes[self.owners])

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
    """Return the index of each wanted number in ``ids``, which is not empty; -1 if it is missing."""
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
    yield Finding(
        table.owners < 0, "annotation without image", lambda _: "is of an image that the file does not list: fix it"
    )
    yield Finding(~np.isin(annotations.categories, list(table.names)), "unknown category", category)
    if masks is not None:
        yield size_errors(masks, table.sizes)
    if joints := table.file.categories[0].get("keypoints") if len(annotations.joint_counts) else None:
        yield from joint_errors(JointTable(annotations, table.sizes, joints))


def _annotation_repairs(table: _Table) -> Iterator[Finding]:
    annotations, masks = table.annotations, table.file.segmentations
    yield Finding(
        annotations.crowds < 0,
        "missing iscrowd",
        lambda _: "has no iscrowd and counts as one object: add it",
    )
    yield Finding(annotations.crowds > 1, "unusable iscrowd", lambda _: "has an iscrowd other than 0 and 1: fix it")
    if masks is not None:
        yield from mask_repairs(masks, table.sizes)
    if joints := table.file.categories[0].get("keypoints") if len(annotations.joint_counts) else None:
        yield from joint_repairs(JointTable(annotations, table.sizes, joints))
