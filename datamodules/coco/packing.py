"""COCO's files, checked, cleaned and counted, for :class:`PackedCOCO`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import Rows
from datamodules.coco.files import Annotations, Categories, File, Images, Segmentations, read_file
from datamodules.loading.packed import Content
from lit_cv.errors import UserError


class COCOSet(NamedTuple):
    """A set: its annotations, and the folder that its images are in."""

    file: Path
    images: Path


def pack_files(root: Path, sources: Sequence[COCOSet], masks: bool, keypoints: bool) -> Content:
    """Read sets, drop what cannot be used, and count it.

    Args:
        root: Folder that the names of the images are to be relative to.
        sources: The sets, joined in this order; their categories have to be the same.
        masks: Whether objects have masks; those without a usable one are dropped.
        keypoints: Whether objects have joints.

    Returns:
        The arrays of ``PackedCOCO``.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    parts, facts = [], None
    for source in sources:
        file = read_file(source.file, masks, keypoints)
        found = facts_of(source.file, file.categories, keypoints)
        if facts is not None and any(not np.array_equal(found[name], facts[name]) for name in found):
            raise UserError(f"{source.file} has other categories than {sources[0].file}: do not join these sets.")
        facts = found
        parts.append(_pack(root, source, file, len(facts["joint_names"]) if keypoints else None))
    assert facts is not None  # there is a set
    arrays = _joined([part.arrays for part in parts]) | facts
    if len(np.unique(arrays["names"])) < len(arrays["names"]):
        raise UserError(f"{', '.join(str(source.file) for source in sources)} share images: choose sets that do not.")
    return Content(arrays, {key: sum(part.counts[key] for part in parts) for key in parts[0].counts})


def facts_of(path: Path, categories: Categories, keypoints: bool) -> dict[str, NDArray[Any]]:
    """Names of classes, joints and limbs.

    Raises:
        UserError: If two categories share a name, or do not have the same joints where these are asked for.
    """
    names: list[str] = [category["name"] for category in categories]
    joints: list[str] = []
    limbs: list[list[int]] = []
    if keypoints:
        first = categories[0]
        if any(category.get("keypoints") != first.get("keypoints") for category in categories):
            raise UserError(f"{path} has categories with different joints: keep one kind of skeleton in the file.")
        joints, limbs = first.get("keypoints") or [], first.get("skeleton") or []
        if not joints:
            raise UserError(f"{path} has no joints in its categories: use person_keypoints_<set>.json.")
    if len(set(names)) < len(names):
        raise UserError(f"{path} names two categories alike: mend the file.")
    return {
        "classes": np.array([name.encode() for name in names], dtype=np.bytes_),
        "joint_names": np.array([name.encode() for name in joints], dtype=np.bytes_),
        "limbs": np.array(limbs, dtype=np.int64).reshape(-1, 2) - 1,
    }


def _pack(root: Path, source: COCOSet, file: File, joint_count: int | None) -> Content:
    """The arrays of one set, but for those of the categories."""
    images, annotations, masks = file.images, file.annotations, file.segmentations
    _check_ids(source.file, images, annotations)
    _check_finite(source.file, annotations)
    owners = _owners(source.file, images, annotations)
    labels = 1 + _labels(source.file, file)
    limits = np.tile(images.sizes[owners], 2).astype(np.float64)
    corners = np.concatenate([annotations.boxes[:, :2], annotations.boxes[:, :2] + annotations.boxes[:, 2:]], axis=1)
    clipped = np.clip(corners, 0, limits).astype(np.float32)
    solid = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    usable = solid.copy()
    if masks is not None:
        _check_sizes(source.file, annotations, masks, images.sizes[owners])
        usable &= (masks.polygons > 0) | (masks.lengths > 0)
    kept = np.argsort(owners, kind="stable")
    kept = kept[usable[kept]]
    offsets = np.searchsorted(owners[kept], np.arange(len(images.ids) + 1)).astype(np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "names": _names(root, source, images.names),
        "sizes": images.sizes,
        "offsets": offsets,
        "boxes": clipped[kept],
        "labels": labels[kept],
        "areas": annotations.areas[kept].astype(np.float32),
        "crowds": annotations.crowds[kept].clip(min=0),
        **_mask_arrays(masks, kept),
        "joints": _joints(source.file, annotations, kept, joint_count),
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


def _check_ids(path: Path, images: Images, annotations: Annotations) -> None:
    for kind, ids in (("images", images.ids), ("annotations", annotations.ids)):
        found, times = np.unique(ids, return_counts=True)
        if (times > 1).any():
            raise UserError(f"{path} has two {kind} with the id {found[times.argmax()]}: mend the file.")


def _check_finite(path: Path, annotations: Annotations) -> None:
    sound = finite_boxes(annotations) & np.isfinite(annotations.areas)
    if not sound.all():
        number = annotations.ids[sound.argmin()]
        raise UserError(f"{path} has the annotation {number} whose bbox or area is not finite: mend the file.")


def finite_boxes(annotations: Annotations) -> NDArray[np.bool_]:
    """Which boxes have numbers, bool (M,); such ones as no image has are taken for damaged."""
    finite: NDArray[np.bool_] = np.all(np.abs(annotations.boxes) < 1e9, axis=1)
    return finite


def _owners(path: Path, images: Images, annotations: Annotations) -> NDArray[np.int64]:
    """The place of each annotation's image among the images of the file."""
    owners = places_of(images.ids, annotations.images)
    if (owners < 0).any():
        row = int((owners < 0).argmax())
        raise UserError(
            f"{path} has the annotation {annotations.ids[row]} of image {annotations.images[row]}, which it does not "
            "list: mend the file."
        )
    return owners


def places_of(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each wanted number stands in ``ids``, int64; -1 where it does not. There is an id."""
    order = np.argsort(ids)
    found = order[np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)]
    return np.where(ids[found] == wanted, found, -1)


def _labels(path: Path, file: File) -> NDArray[np.int64]:
    """The class of each annotation, 0..C - 1: its place among the ids of the categories, in ascending order."""
    ids = np.array([category["id"] for category in file.categories], dtype=np.int64)
    if len(np.unique(ids)) < len(ids):
        raise UserError(f"{path} has two categories with the same id: mend the file.")
    labels = places_of(ids, file.annotations.categories)
    if (labels < 0).any():
        row = int((labels < 0).argmax())
        category = file.annotations.categories[row]
        raise UserError(
            f"{path} has the annotation {file.annotations.ids[row]} of the unknown category {category}: mend the file."
        )
    return labels


def _check_sizes(path: Path, annotations: Annotations, masks: Segmentations, sizes: NDArray[np.int32]) -> None:
    """Refuse an RLE that is not of its image's size."""
    wrong = (masks.lengths > 0) & (masks.sizes != sizes).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        (width, height), (expected, tall) = masks.sizes[row].tolist(), sizes[row].tolist()
        raise UserError(
            f"{path} has the annotation {annotations.ids[row]} with an RLE of {width}x{height} pixels in an image of "
            f"{expected}x{tall}: mend the file."
        )


def _names(root: Path, source: COCOSet, names: list[str]) -> NDArray[np.bytes_]:
    """Paths of the images relative to the root; all of them are there."""
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


def _joints(path: Path, annotations: Annotations, kept: Rows, count: int | None) -> NDArray[np.float32]:
    """The joints of each object, zeros where they are not labeled."""
    if count is None:
        return np.zeros((0, 0, 3), dtype=np.float32)
    wrong = annotations.joint_counts != 3 * count
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"{path} has the annotation {annotations.ids[row]} with {annotations.joint_counts[row]} keypoint numbers, "
            f"but its category has {count} joints of three each: mend the file."
        )
    joints = annotations.joints.reshape(-1, count, 3)
    if not (np.isin(joints[..., 2], (0, 1, 2)) & (np.abs(joints) < 1e6).all(axis=2)).all():
        raise UserError(f"{path} has a joint that is not finite or whose flag is not 0, 1 or 2: mend the file.")
    return np.where(joints[..., 2:] > 0, joints, 0).astype(np.float32)[kept]


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays of several sets behind one another; places in arrays move by what lies before."""
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


# Arrays of places, and the array whose places they are.
_PLACES = {"offsets": "boxes", "corners": "points", "polygons": "corners", "spans": "runs"}


def _size(part: dict[str, NDArray[Any]], name: str) -> int:
    return len(part[name]) - (name == "corners")
