"""What is wrong with the annotation files of COCO."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from datamodules.coco.checks import _field_findings, _joint_findings, _mask_findings
from datamodules.coco.files import Categories, File, read_categories, read_file
from datamodules.coco.packing import COCOSet, facts_of, places_of
from datamodules.defects import Defect, Listed, Survey, box_defects, repeated
from lit_cv.errors import UserError

"""Of which annotations it is true, bool (M,), the kind of the defect, and what is said of annotation number n."""


def survey_set(source: COCOSet, first: COCOSet, masks: bool, keypoints: bool) -> Survey:
    """Read a set past its defects.

    Args:
        source: The set.
        first: The set whose categories all others have to have.
        masks: Whether the segmentations are used.
        keypoints: Whether the joints are.

    Raises:
        UserError: If the annotation file cannot be read at all.
    """
    defects: list[Defect] = []

    def report(error: UserError) -> None:
        defects.append(Defect.of(error, source.file, "unusable record"))

    file = read_file(source.file, masks, keypoints, report)
    defects += _category_defects(source.file, file.categories, first.file, keypoints)
    defects += _image_defects(source, file)
    defects += _annotation_defects(source.file, file)
    if not source.images.is_dir():
        what = f"is no folder, though {source.file} describes its images: put them there"
        return Survey([], [*defects, Defect(source.images, what, "missing folder")])
    sizes = dict(zip(file.images.names, map(tuple, file.images.sizes.tolist()), strict=True))
    return Survey([Listed(source.images / name, size, source.file) for name, size in sizes.items()], defects)


def _category_defects(path: Path, categories: Categories, first: Path, keypoints: bool) -> Iterator[Defect]:
    ids = np.array([category["id"] for category in categories])
    for number in ids[repeated(ids)].tolist():
        yield Defect(path, f"has two categories with the id {number}: mend the file", "duplicate id")
    try:
        facts = facts_of(path, categories, keypoints)
    except UserError as error:
        yield Defect.of(error, path, "unusable categories")
        return
    with suppress(UserError):  # what is wrong with the first is told of there
        others = facts_of(first, read_categories(first), keypoints)
        if any(not np.array_equal(facts[name], others[name]) for name in facts):
            yield Defect(path, f"has other categories than {first}: choose sets that agree", "unusable categories")


def _image_defects(source: COCOSet, file: File) -> Iterator[Defect]:
    ids, names = file.images.ids, np.array(file.images.names)
    for number in ids[repeated(ids)].tolist():
        yield Defect(source.file, f"has two images with the id {number}: mend the file", "duplicate id")
    for name in names[repeated(names)].tolist():
        yield Defect(source.file, f"lists the image {name} a second time: mend the file", "image listed twice")
    owners = places_of(ids, file.annotations.images)
    owners, crowds = owners[owners >= 0], file.annotations.crowds[owners >= 0] == 1
    all_of, crowds_of = (np.bincount(rows, minlength=len(ids)) for rows in (owners, owners[crowds]))
    for place in np.flatnonzero((all_of > 0) & (all_of == crowds_of)).tolist():
        what = f"is annotated with {all_of[place]} crowds alone: nothing in it is trained on; leave the image out"
        yield Defect(source.images / names[place], what, "crowd-only image")


def _annotation_defects(path: Path, file: File) -> Iterator[Defect]:
    annotations = file.annotations
    names = {category["id"]: category["name"] for category in file.categories}
    owners = places_of(file.images.ids, annotations.images)
    sizes = np.where(owners[:, None] < 0, np.inf, file.images.sizes[owners])

    def name(row: int) -> str:
        kind = names.get(int(annotations.categories[row]), "of an unknown category")
        return f"annotation {annotations.ids[row]} ({kind}) of image {annotations.images[row]}"

    listed = np.flatnonzero(owners >= 0)
    corners = np.concatenate([annotations.boxes[:, :2], annotations.boxes[:, :2] + annotations.boxes[:, 2:]], axis=1)
    yield from box_defects(path, lambda row: name(listed[row]), corners[listed], sizes[listed])
    findings = [*_field_findings(annotations, owners, list(names))]
    if file.segmentations is not None:
        findings += _mask_findings(file.segmentations, sizes)
    joints = file.categories[0].get("keypoints") if len(annotations.joint_counts) else None
    if joints:
        findings += _joint_findings(annotations, sizes, joints)
    for wrong, kind, what in findings:
        for row in np.flatnonzero(wrong).tolist():
            yield Defect(path, f"{name(row)} {what(row)}", kind)
