"""What is wrong with the annotation files of COCO."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.coco_files import Annotations, Categories, File, Segmentations, read_categories, read_file
from datamodules.coco_packing import COCOSet, facts_of, places_of
from datamodules.defects import ROUNDING, Defect, Listed, Survey, box_defects, repeated
from datamodules.pose_annotations import inside_image
from lit_cv.errors import UserError

Flags = NDArray[np.bool_]
Finding = tuple[Flags, str, Callable[[int], str]]
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


def _field_findings(annotations: Annotations, owners: NDArray[np.int64], categories: list[int]) -> Iterator[Finding]:
    def category(row: int) -> str:
        return f"has the category {annotations.categories[row]}, which the file does not name: mend it"

    yield repeated(annotations.ids), "duplicate id", lambda _: "has an id that another one has, too: mend the file"
    yield owners < 0, "annotation without image", lambda _: "is of an image that the file does not list: mend it"
    yield ~np.isin(annotations.categories, categories), "unknown category", category
    yield annotations.crowds < 0, "missing iscrowd", lambda _: "has no iscrowd and is taken for one object: add it"
    yield annotations.crowds > 1, "unusable iscrowd", lambda _: "has an iscrowd other than 0 and 1: mend it"
    yield ~np.isfinite(annotations.areas), "area not finite", lambda _: "has an area that is not finite: mend it"


def _mask_findings(masks: Segmentations, sizes: NDArray[np.float64]) -> Iterator[Finding]:
    def other_size(row: int) -> str:
        (width, height), (expected, tall) = masks.sizes[row].tolist(), sizes[row].tolist()
        return f"has an RLE of {width}x{height} pixels in an image of {expected:g}x{tall:g}: mend it"

    encoded = masks.lengths > 0
    unlike = (masks.sizes != sizes).any(axis=1) & np.isfinite(sizes).all(axis=1)
    yield encoded & unlike, "RLE of another size", other_size
    yield (
        masks.dropped > 0,
        "empty polygon",
        lambda row: (
            f"has {masks.dropped[row]} polygons with fewer than three corners, which are dropped: mend or remove them"
        ),
    )
    yield (
        ~encoded & (masks.polygons == 0),
        "object without mask",
        lambda _: "has no usable mask and is dropped: mend it",
    )
    yield (
        _leaving(masks, sizes),
        "polygon outside the image",
        lambda _: "has a polygon that reaches outside its image and is clipped: mend it",
    )


def _leaving(masks: Segmentations, sizes: NDArray[np.float64]) -> Flags:
    """Which annotations have a polygon that reaches outside, bool (M,)."""
    outside = np.zeros(len(sizes), dtype=np.bool_)
    if len(masks.corners):
        points, starts = masks.points.reshape(-1, 2), (np.cumsum(masks.corners) - masks.corners) // 2
        low, high = (extreme.reduceat(points, starts) for extreme in (np.minimum, np.maximum))
        of_polygon = np.repeat(np.arange(len(sizes)), masks.polygons)
        outside[of_polygon[((low < -ROUNDING) | (high > sizes[of_polygon] + ROUNDING)).any(axis=1)]] = True
    return outside


def _joint_findings(annotations: Annotations, sizes: NDArray[np.float64], names: list[str]) -> Iterator[Finding]:
    counted = annotations.joint_counts == 3 * len(names)
    joints = np.zeros((len(sizes), len(names), 3))
    joints[counted] = annotations.joints[np.repeat(counted, annotations.joint_counts)].reshape(-1, len(names), 3)
    usable = np.isin(joints[..., 2], (0, 1, 2)) & (np.abs(joints) < 1e6).all(axis=2)
    labelled = usable & (joints[..., 2] > 0)
    outside, count = labelled & ~inside_image(joints, sizes), labelled.sum(axis=1)
    told = annotations.labelled

    def which(flags: Flags) -> Callable[[int], str]:
        return lambda row: ", ".join(names[joint] for joint in np.flatnonzero(flags[row]).tolist())

    yield (
        ~counted,
        "keypoints of another count",
        lambda row: (
            f"has {annotations.joint_counts[row]} keypoint numbers, but its category has {len(names)} joints of three "
            "each: mend it"
        ),
    )
    yield (
        ~np.all(usable, axis=1),
        "unusable keypoint",
        lambda row: f"has a joint that is not finite or whose flag is not 0, 1 or 2 ({which(~usable)(row)}): mend it",
    )
    yield (
        np.any(outside, axis=1),
        "keypoint outside the image",
        lambda row: f"has labelled joints outside its image ({which(outside)(row)}): mend them",
    )
    yield (
        counted & (told >= 0) & (told != count),
        "num_keypoints disagrees",
        lambda row: f"says num_keypoints {told[row]} and labels {count[row]} joints: mend it",
    )
