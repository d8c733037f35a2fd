"""COCO's files, checked, cleaned and counted, for :class:`PackedCOCO`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import Rows
from datamodules.coco.categories import Facts, disagreement
from datamodules.coco.checks import errors, notes, places_of, usable_objects
from datamodules.coco.files import COCOSet, read_file
from datamodules.coco.joint_checks import dense_joints
from datamodules.coco.own.classes import without_others
from datamodules.coco.own.parts import own_part
from datamodules.coco.pictures import Pictures, find_pictures
from datamodules.coco.tables import Annotations, File, Segmentations
from datamodules.defects import outside_in_words, stop, stop_at
from datamodules.loading.decode import image_size
from datamodules.loading.packed import Content, as_bytes, offsets_of
from lit_cv.errors import UserError


def pack_files(root: Path, sources: Sequence[COCOSet], masks: bool, keypoints: bool) -> Content:
    """Read sets, check them, drop unusable objects, and count.

    Args:
        root: Folder that the names of the images are relative to.
        sources: The sets, joined in this order; their categories must be the same.
        masks: Whether objects have masks; those without a usable mask are dropped.
        keypoints: Whether objects have joints.

    Returns:
        The arrays of ``PackedCOCO``.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    parts, facts, told = [], None, list[str]()
    for source in sources:
        file, left_out = without_others(source, read_file(source.file, masks, keypoints))
        pictures = find_pictures(source, file.images)
        file = file._replace(images=pictures.images)
        stop_at(errors(source.file, file, keypoints))
        told += [str(note.error) for note in (*left_out, *notes(source, file, pictures, keypoints))]
        told += _losses(source, file)
        if source.own:
            file, pictures, found_notes = own_part(source, source.own, file, pictures, keypoints, stop)
            told += [str(note.error) for note in found_notes]
        found = Facts.of(file.categories, keypoints)
        facts = facts or found
        stop_at(disagreement(source.file, found, sources[0].file, facts))
        parts.append(_pack(root, source, file, pictures, len(found.joints) if keypoints else None))
    assert facts is not None  # there is a set
    arrays = _joined([part.arrays for part in parts]) | {
        "classes": as_bytes(facts.classes),
        "joint_names": as_bytes(facts.joints),
        "limbs": np.array(facts.limbs, dtype=np.int64).reshape(-1, 2),
    }
    if len(np.unique(arrays["names"])) < len(arrays["names"]):
        raise UserError(f"{', '.join(str(source.file) for source in sources)} share images: choose sets that do not.")
    return Content(arrays, {key: sum(part.counts[key] for part in parts) for key in parts[0].counts}, tuple(told))


def listed_ids(root: Path, sources: Sequence[COCOSet], classes: Sequence[str]) -> tuple[dict[str, int], list[int]]:
    """Read the ids of images and classes, which packed annotations do not keep.

    Args:
        root: Folder that the names of the images are relative to.
        sources: The sets of a split.
        classes: Names of labels 1..C. The files of a split of your own may give them in another order.

    Returns:
        The id of each image of the files by its name relative to ``root``, and the id of each class.

    Raises:
        UserError: A file is unusable, or the first one lacks a class.
    """
    images, kinds = dict[str, int](), list[dict[str, Any]]()
    for source in sources:
        file = read_file(source.file, masks=False, keypoints=False)
        pictures = find_pictures(source, file.images)
        images |= dict(zip(image_names(root, source, pictures), pictures.images.ids.tolist(), strict=True))
        kinds = kinds or file.categories
    if len(kinds) == len(classes) and not sources[0].own:
        return images, [kind["id"] for kind in kinds]
    known = {kind["name"]: kind["id"] for kind in kinds}
    if missing := [name for name in classes if name not in known]:
        raise UserError(f"{sources[0].file} has no category {missing[0]!r}, so it gives it no id; add the category.")
    return images, [known[name] for name in classes]


def _losses(source: COCOSet, file: File) -> Iterator[str]:
    """Yield a sentence about the objects that are left out."""
    usable = usable_objects(file)
    counts = usable.counts
    reasons = {
        "without an area within their image": counts["dropped"],
        "without a usable mask": counts.get("without_mask", 0),
    }
    if lost := sum(reasons.values()):
        parts = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        yield f"{source.file}: {lost} of {lost + counts['boxes']} objects are left out ({parts})."
    if outside := outside_in_words(usable.corners[usable.kept], usable.boxes[usable.kept]):
        yield f"{source.file}: {outside}."
    if not counts["boxes"]:
        yield f"{source.file} has no object that can be learned or evaluated."
    if dropped := _polygons_dropped(file.segmentations):
        yield f"{source.file}: {dropped} polygons are left out, which are not at least three pairs of x and y."


def _pack(root: Path, source: COCOSet, file: File, pictures: Pictures, joint_count: int | None) -> Content:
    """Return the arrays of one set without errors, except those of the categories."""
    images, annotations, masks, usable = file.images, file.annotations, file.segmentations, usable_objects(file)
    kept = np.argsort(usable.owners, kind="stable")
    kept = kept[usable.kept[kept]]
    offsets = offsets_of(usable.owners[kept], len(images.ids))
    categories = np.array([category["id"] for category in file.categories], dtype=np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "names": as_bytes(image_names(root, source, pictures)),
        "sizes": images.sizes,
        "offsets": offsets,
        "boxes": usable.boxes[kept],
        "labels": 1 + places_of(categories, annotations.categories[kept]),
        "areas": annotations.areas[kept].astype(np.float32),
        "crowds": annotations.crowds[kept].clip(min=0),
        **_mask_arrays(masks, kept),
        "joints": _joints(annotations, kept, joint_count),
    }
    moved = (np.abs(usable.boxes - usable.corners) > 0.01).any(axis=1)
    counts = {
        "images": len(images.ids),
        "empty": int((np.diff(offsets) == 0).sum()),
        **usable.counts,
        "clipped": int((moved & usable.kept).sum()),
    }
    if masks is not None:
        counts["polygons_dropped"] = _polygons_dropped(masks)
    return Content(arrays, counts)


def _polygons_dropped(masks: Segmentations | None) -> int:
    return 0 if masks is None else int((masks.short + masks.odd).sum())


def image_names(root: Path, source: COCOSet, pictures: Pictures) -> list[str]:
    """Return the paths of the images relative to the root, after checking that all exist."""
    names = pictures.images.names
    for place in np.flatnonzero(pictures.missing).tolist():
        raise UserError(
            f"{source.images / names[place]} is missing, though {source.file} describes it: restore the image."
        )
    for place in np.flatnonzero(pictures.images.sizes[:, 0] < 0).tolist():
        image_size(source.images / names[place], source.file)  # says why it has no size
    folder = source.images.relative_to(root) if source.images.is_relative_to(root) else source.images.absolute()
    return [(folder / name).as_posix() for name in names]


def _mask_arrays(masks: Segmentations | None, kept: Rows) -> dict[str, NDArray[Any]]:
    if masks is None:
        return {
            "points": np.zeros(0), "corners": np.zeros(1, dtype=np.int64), "runs": np.zeros(0, dtype=np.uint32),
            "polygons": np.zeros((0, 2), dtype=np.int64), "spans": np.zeros((0, 2), dtype=np.int64),
        }  # fmt: skip
    spans = [np.concatenate([[0], np.cumsum(lengths)]) for lengths in (masks.corners, masks.polygons, masks.lengths)]
    return {
        "points": masks.points,
        "corners": spans[0],
        "runs": masks.runs,
        "polygons": np.stack([spans[1][kept], spans[1][kept + 1]], axis=1),
        "spans": np.stack([spans[2][kept], spans[2][kept + 1]], axis=1),
    }


def _joints(annotations: Annotations, kept: Rows, count: int | None) -> NDArray[np.float32]:
    """Return the joints of each object, zeros where they are not labeled."""
    if count is None:
        return np.zeros((0, 0, 3), dtype=np.float32)
    joints = dense_joints(annotations, count)
    return np.where(joints[..., 2:] > 0, joints, 0).astype(np.float32)[kept]


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Concatenate the arrays of several sets; indices into arrays shift by the length of the earlier sets."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, NDArray[Any]] = {}
    for name in parts[0]:
        columns: Iterable[NDArray[Any]] = [part[name] for part in parts]
        if target := _PLACES.get(name):
            before = np.cumsum([0, *(_size(part, target) for part in parts[:-1])])
            columns = [column + shift for column, shift in zip(columns, before.tolist(), strict=True)]
        if name in ("offsets", "corners"):  # the end of a set is the beginning of the next
            columns = [column if number == 0 else column[1:] for number, column in enumerate(columns)]
        joined[name] = np.concatenate(list(columns))
    return joined


# Maps arrays of indices to the array that they point into.
_PLACES = {"offsets": "boxes", "corners": "points", "polygons": "corners", "spans": "runs"}


def _size(part: dict[str, NDArray[Any]], name: str) -> int:
    return len(part[name]) - (name == "corners")
