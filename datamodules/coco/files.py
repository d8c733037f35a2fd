"""The annotation files of COCO (Lin et al. 2014; cocodataset.org/#format-data), read into flat arrays."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from datamodules.coco.categories import in_order, synthetic_root
from datamodules.coco.record_faults import category_fault, image_fault
from datamodules.coco.records import Reader, annotated_categories, checked_categories, image_columns
from datamodules.coco.tables import Annotations, Categories, File, Images, Segmentations
from datamodules.defects import Report, stop
from datamodules.loading.json_stream import read_records
from datamodules.splits import Split
from lit_cv.errors import UserError

_KEYS = ("images", "annotations", "categories")
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


class Own(NamedTuple):
    """The part that a set of own files plays.

    Attributes:
        name: The split: ``train``, ``val`` or ``test``.
        files: The annotation files of all splits; the first is the reference, whose categories are the first classes.
        split: Divides the file, of which the set is a part; None if the set is all of it.
        categories: The classes to take; None for all.
    """

    name: str
    files: tuple[Path, ...]
    split: Split | None
    categories: tuple[str, ...] | None

    @property
    def reference(self) -> Path:
        """The first file."""
        return self.files[0]


class COCOSet(NamedTuple):
    """The files of a set.

    Attributes:
        file: Its annotations.
        images: The folder of its images.
        own: Its part among own files; None in the official layout.
        upright: Whether the annotations refer to the upright images, see :class:`Reading`.
    """

    file: Path
    images: Path
    own: Own | None = None
    upright: bool = False


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
    reader = Reader(path, report)
    images, objects, categories = [], [], []
    for key, records in read_records(path, _KEYS):
        if key == "images":
            images.append(reader.columns("image", image_columns, image_fault, records))
        elif key == "annotations":
            objects.append(reader.objects(masks, keypoints, records))
        else:
            categories += reader.columns("category", checked_categories, category_fault, records)
    listed = {"images": reader.places["image"], "annotations": objects, "categories": reader.places["category"]}
    if empty := [key for key, found in listed.items() if not found]:
        raise UserError(
            f"{path} lacks images, annotations or categories ({empty[0]!r} is missing or empty): it is no COCO file of "
            "objects; fix data.root."
        )
    annotations = _joined([annotations for annotations, _ in objects], Annotations)
    kinds, root = _without_root(categories, annotations.categories.tolist())
    return File(
        Images(
            np.concatenate([chunk.ids for chunk in images]),
            [name for chunk in images for name in chunk.names],
            np.concatenate([chunk.sizes for chunk in images]),
        ),
        annotations,
        _joined([segmentations for _, segmentations in objects if segmentations], Segmentations) if masks else None,
        kinds,
        root,
        complete=len(categories) + sum(len(chunk.ids) for chunk in images)
        == reader.places["category"] + reader.places["image"],
    )


def read_categories(path: Path) -> Categories:
    """Read only the categories of a file, see :func:`read_file`.

    Raises:
        UserError: If the file cannot be read, or a category is not in COCO's format.
    """
    reader = Reader(path, stop)
    chunks = read_records(path, ("categories",))
    rows = [row for _, chunk in chunks for row in reader.columns("category", checked_categories, category_fault, chunk)]
    if synthetic_root(in_order(rows), ()) is None:
        return in_order(rows)
    return _without_root(rows, annotated_ids(path))[0]


def annotated_ids(path: Path) -> set[int]:
    """Return the ids of the categories that the annotations of a file have, see :func:`read_file`."""
    return {number for _, chunk in read_records(path, ("annotations",)) for number in annotated_categories(chunk)}


def _without_root(rows: Categories, annotated: Iterable[int]) -> tuple[Categories, dict[str, Any] | None]:
    categories = in_order(rows)
    root = synthetic_root(categories, annotated)
    return (categories, None) if root is None else (categories[1:], root)


T = TypeVar("T", Annotations, Segmentations)


def _joined(chunks: Iterable[T], kind: type[T]) -> T:
    return kind(*(np.concatenate(column) for column in zip(*chunks, strict=True)))
