"""COCO's files, checked, cleaned and counted, for :class:`PackedCOCO`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import Rows, clip_boxes
from datamodules.coco.checks import corners_of, disagreement, errors, places_of
from datamodules.coco.files import Annotations, COCOSet, Facts, File, Segmentations, read_file
from datamodules.defects import stop_at
from datamodules.loading.packed import Content
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
    parts, facts = [], None
    for source in sources:
        file = read_file(source.file, masks, keypoints)
        stop_at(errors(source.file, file, keypoints))
        found = Facts.of(file.categories, keypoints)
        facts = facts or found
        stop_at(disagreement(source.file, found, sources[0].file, facts))
        parts.append(_pack(root, source, file, len(found.joints) if keypoints else None))
    assert facts is not None  # there is a set
    arrays = _joined([part.arrays for part in parts]) | {
        "classes": np.array([name.encode() for name in facts.classes], dtype=np.bytes_),
        "joint_names": np.array([name.encode() for name in facts.joints], dtype=np.bytes_),
        "limbs": np.array(facts.limbs, dtype=np.int64).reshape(-1, 2),
    }
    if len(np.unique(arrays["names"])) < len(arrays["names"]):
        raise UserError(f"{', '.join(str(source.file) for source in sources)} share images: choose sets that do not.")
    return Content(arrays, {key: sum(part.counts[key] for part in parts) for key in parts[0].counts})


def _pack(root: Path, source: COCOSet, file: File, joint_count: int | None) -> Content:
    """Return the arrays of one set without errors, except those of the categories."""
    images, annotations, masks = file.images, file.annotations, file.segmentations
    owners = places_of(images.ids, annotations.images)
    corners = corners_of(annotations.boxes)
    clipped, solid = clip_boxes(corners, images.sizes[owners])
    usable = solid.copy()
    if masks is not None:
        usable &= (masks.polygons > 0) | (masks.lengths > 0)
    kept = np.argsort(owners, kind="stable")
    kept = kept[usable[kept]]
    offsets = np.searchsorted(owners[kept], np.arange(len(images.ids) + 1)).astype(np.int64)
    categories = np.array([category["id"] for category in file.categories], dtype=np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "names": _names(root, source, images.names),
        "sizes": images.sizes,
        "offsets": offsets,
        "boxes": clipped[kept],
        "labels": 1 + places_of(categories, annotations.categories[kept]),
        "areas": annotations.areas[kept].astype(np.float32),
        "crowds": annotations.crowds[kept].clip(min=0),
        **_mask_arrays(masks, kept),
        "joints": _joints(annotations, kept, joint_count),
    }
    counts = {
        "images": len(images.ids),
        "empty": int((np.diff(offsets) == 0).sum()),
        "boxes": len(kept),
        "crowds": int(arrays["crowds"].sum()),
        "clipped": int(((np.abs(clipped - corners) > 0.01).any(axis=1) & usable).sum()),
        "dropped": int((~solid).sum()),
    }
    if masks is not None:
        counts |= {"polygons_dropped": int(masks.dropped.sum()), "without_mask": int((solid & ~usable).sum())}
    if joint_count is not None:
        counts["with_joints"] = int((arrays["joints"][..., 2] > 0).any(axis=1).sum())
    return Content(arrays, counts)


def _names(root: Path, source: COCOSet, names: list[str]) -> NDArray[np.bytes_]:
    """Return the paths of the images relative to the root, after checking that all exist."""
    try:
        present = {path.name for path in source.images.iterdir()}
    except OSError as error:
        raise UserError(f"{source.images} cannot be read ({error.strerror}): put the images there.") from None
    for name in names:
        if name not in present and not (source.images / name).is_file():
            raise UserError(f"{source.images / name} is missing, though {source.file} describes it: restore the image.")
    folder = source.images.relative_to(root)
    return np.array([(folder / name).as_posix().encode() for name in names], dtype=np.bytes_)


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
    joints = annotations.joints.reshape(-1, count, 3)
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
