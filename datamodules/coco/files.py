"""The annotation files of COCO (Lin et al. 2014; cocodataset.org/#format-data), read into flat arrays."""

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.defects import Defect, Report, stop
from datamodules.loading.json_stream import read_records
from lit_cv.errors import UserError
from lit_cv.ops.rle import decompress_runs

# The official id of each of the 80 classes; the other 11 ids of 1..91 are not annotated.
CATEGORIES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip


Categories = list[dict[str, Any]]


class COCOSet(NamedTuple):
    """The files of a set: its annotations, and the folder of its images."""

    file: Path
    images: Path


class Facts(NamedTuple):
    """The facts that all sets of a data set share.

    Attributes:
        classes: Names of labels 1..C.
        joints: The K names of the joints; empty without joints.
        limbs: Pairs of joints that a line connects in pictures, from 0.
    """

    classes: tuple[str, ...]
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, categories: Categories, keypoints: bool) -> "Facts":
        """Return the facts of categories that :func:`datamodules.coco.checks.category_errors` accepts.

        Args:
            categories: In ascending order of their ids.
            keypoints: Whether objects have joints.
        """
        first = categories[0] if keypoints else {}
        limbs = tuple((start - 1, end - 1) for start, end in first.get("skeleton") or ())
        return cls(tuple(kind["name"] for kind in categories), tuple(first.get("keypoints") or ()), limbs)


class Images(NamedTuple):
    """The images of a file.

    Attributes:
        ids: int64 (N,).
        names: File names.
        sizes: int32 (N, 2), width and height in pixels.
    """

    ids: NDArray[np.int64]
    names: list[str]
    sizes: NDArray[np.int32]


class Segmentations(NamedTuple):
    """The masks of M annotations as written: each a union of polygons, or runs (RLE), or nothing.

    Attributes:
        points: float64 (V,), x and y of the corners of all polygons in turn, in pixels.
        corners: int64 (Q,), count of each polygon's numbers in ``points``.
        polygons: int64 (M,), number of each annotation's polygons.
        runs: uint32 (R,), in COCO's column-by-column order.
        lengths: int64 (M,), number of each annotation's runs, 0 unless it is an RLE.
        sizes: int64 (M, 2), width and height of each RLE, -1 without one.
        dropped: int64 (M,), number of each annotation's polygons that have fewer than three corners or an odd count of
            numbers.
    """

    points: NDArray[np.float64]
    corners: NDArray[np.int64]
    polygons: NDArray[np.int64]
    runs: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    sizes: NDArray[np.int64]
    dropped: NDArray[np.int64]


class Annotations(NamedTuple):
    """M annotations as written.

    Attributes:
        ids: int64 (M,).
        images: int64 (M,), id of the image.
        categories: int64 (M,), id of the category.
        boxes: float64 (M, 4), x, y, width and height in pixels.
        areas: float64 (M,), area of the segmentation in square pixels.
        crowds: int64 (M,), 1 for a region of many objects that are not annotated one by one; -1, which means 0, if the
            flag is missing.
        joints: float64 (J,), x, y and flag of all joints in turn; empty unless requested.
        joint_counts: int64 (M,), count of each annotation's numbers in ``joints``; empty unless requested.
        labeled: int64 (M,), the number of labeled joints as written, -1 if missing; empty unless requested.
    """

    ids: NDArray[np.int64]
    images: NDArray[np.int64]
    categories: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.int64]
    joints: NDArray[np.float64]
    joint_counts: NDArray[np.int64]
    labeled: NDArray[np.int64]


class File(NamedTuple):
    """The content of an annotation file.

    Attributes:
        images: The images.
        annotations: The annotations, in the order of the file.
        segmentations: Their masks; None unless requested.
        categories: The categories' records in ascending order of their ids.
    """

    images: Images
    annotations: Annotations
    segmentations: Segmentations | None
    categories: Categories


def read_file(path: Path, masks: bool, keypoints: bool, report: Report = stop) -> File:
    """Read an ``instances_<set>.json`` or ``person_keypoints_<set>.json``.

    Args:
        path: The file.
        masks: Whether to read the segmentations.
        keypoints: Whether to read the joints; an annotation without ``keypoints`` has none.
        report: Receives a defect for each record that is not in COCO's format.

    Raises:
        UserError: If the file cannot be read, is cut off, or has no images, annotations or categories.
    """
    images, objects, categories = [], [], []
    for key, records in read_records(path, ("images", "annotations", "categories")):
        if key == "images":
            images.append(_columns(path, "image", _images, records, report))
        elif key == "annotations":
            objects.append(_columns(path, "annotation", lambda r: _objects(r, masks, keypoints), records, report))
        else:
            categories += _columns(path, "category", _categories, records, report)
    if not any(len(chunk.ids) for chunk in images) or not objects or not categories:
        raise UserError(f"{path} lacks images, annotations or categories: it is no COCO file of objects; fix root.")
    return File(
        Images(
            np.concatenate([chunk.ids for chunk in images]),
            [name for chunk in images for name in chunk.names],
            np.concatenate([chunk.sizes for chunk in images]),
        ),
        _joined([annotations for annotations, _ in objects], Annotations),
        _joined([segmentations for _, segmentations in objects if segmentations], Segmentations) if masks else None,
        _in_order(categories),
    )


def read_categories(path: Path) -> Categories:
    """Read only the categories of a file, see :func:`read_file`.

    Raises:
        UserError: If the file cannot be read, or a category is not in COCO's format.
    """
    chunks = read_records(path, ("categories",))
    return _in_order([row for _, rows in chunks for row in _columns(path, "category", _categories, rows, stop)])


def _in_order(categories: Categories) -> Categories:
    return sorted(categories, key=lambda category: int(category["id"]))


R = TypeVar("R")


def _columns(path: Path, kind: str, read: Callable[[list[Any]], R], records: list[Any], report: Report) -> R:
    """Return the columns of some records; report and leave out each record that cannot be read."""
    try:
        return read(records)
    except _UNREADABLE:
        sound = []
        for record in records:
            fault = _fault(path, kind, read, record)
            report(fault) if fault else sound.append(record)
    if len(sound) == len(records):
        raise UserError(f"{path} has {kind} records that contradict each other: fix it.")
    return _columns(path, kind, read, sound, report)


_UNREADABLE = (KeyError, ValueError, TypeError, OverflowError, AttributeError)


def _fault(path: Path, kind: str, read: Callable[[list[Any]], object], record: Any) -> Defect | None:
    try:
        read([record])
    except _UNREADABLE as error:
        name = record.get("id", "without id") if isinstance(record, dict) else "that is no object"
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        what = f"has the {kind} {name} that is not in COCO's format ({reason}): fix it"
        return Defect(path, what, "unusable record")
    return None


def _objects(records: list[dict[str, Any]], masks: bool, keypoints: bool) -> tuple[Annotations, Segmentations | None]:
    return _annotations(records, keypoints), _segmentations(records) if masks else None


def _images(records: list[dict[str, Any]]) -> Images:
    names = [record["file_name"] for record in records]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("file_name is no text")
    sizes = _integers([(record["width"], record["height"]) for record in records]).reshape(-1, 2)
    if (sizes < 1).any():
        raise ValueError("it has no pixels")
    return Images(_integers([record["id"] for record in records]), names, sizes.astype(np.int32))


def _categories(records: Categories) -> Categories:
    for record in records:
        _integers([record["id"]])
        if not isinstance(record["name"], str):
            raise ValueError("name is no text")
    return records


def _annotations(records: list[dict[str, Any]], keypoints: bool) -> Annotations:
    boxes = np.array([record["bbox"] for record in records], dtype=np.float64).reshape(len(records), 4)
    areas = np.array([record["area"] for record in records], dtype=np.float64)
    joints = [record.get("keypoints") or () for record in records] if keypoints else []
    return Annotations(
        _integers([record["id"] for record in records]),
        _integers([record["image_id"] for record in records]),
        _integers([record["category_id"] for record in records]),
        boxes,
        areas,
        _integers([record.get("iscrowd", -1) for record in records]),
        np.fromiter(chain.from_iterable(joints), dtype=np.float64),
        np.array([len(points) for points in joints], dtype=np.int64),
        _integers([record.get("num_keypoints", -1) for record in records] if keypoints else []),
    )


def _segmentations(records: list[dict[str, Any]]) -> Segmentations:
    written = [record.get("segmentation") or [] for record in records]
    if not all(isinstance(mask, list | dict) for mask in written):
        raise ValueError("its segmentation is neither polygons nor an RLE")
    polygons = [mask if isinstance(mask, list) else [] for mask in written]
    kept = [[polygon for polygon in mask if len(polygon) >= 6 and len(polygon) % 2 == 0] for mask in polygons]
    points = np.fromiter(chain.from_iterable(chain.from_iterable(kept)), dtype=np.float64)
    if not (np.abs(points) < 1e5).all():  # rasterizing takes time and memory in proportion
        raise ValueError("its polygon reaches beyond 100,000 pixels")
    runs = [_runs(mask) if isinstance(mask, dict) else _NO_RUNS for mask in written]
    sizes = [mask["size"][::-1] if isinstance(mask, dict) else (-1, -1) for mask in written]
    return Segmentations(
        points,
        np.array([len(polygon) for mask in kept for polygon in mask], dtype=np.int64),
        np.array([len(mask) for mask in kept], dtype=np.int64),
        np.concatenate([_NO_RUNS, *runs]),
        np.array([len(counts) for counts in runs], dtype=np.int64),
        _integers(sizes).reshape(len(records), 2),
        np.array([len(mask) - len(rest) for mask, rest in zip(polygons, kept, strict=True)], dtype=np.int64),
    )


_NO_RUNS = np.zeros(0, dtype=np.uint32)


def _runs(mask: dict[str, Any]) -> NDArray[np.uint32]:
    """Return the runs of an RLE, given as a list of counts or as pycocotools' compressed text."""
    counts = mask["counts"]
    runs = decompress_runs(counts.encode()) if isinstance(counts, str) else _integers(counts)
    if (runs < 0).any() or int(runs.sum()) != int(mask["size"][0]) * int(mask["size"][1]):
        raise ValueError("the runs of its RLE do not add up to its size")
    return runs.astype(np.uint32)


def _integers(values: list[Any]) -> NDArray[np.int64]:
    """Return an array of values that must be integers."""
    array = np.array(values)
    if array.size and array.dtype.kind not in "iub":
        raise ValueError(f"{values[0]!r} is not an integer")
    return array.astype(np.int64)


T = TypeVar("T", Annotations, Segmentations)


def _joined(chunks: Iterable[T], kind: type[T]) -> T:
    return kind(*(np.concatenate(column) for column in zip(*chunks, strict=True)))
