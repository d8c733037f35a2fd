"""The annotation files of COCO (Lin et al. 2014; cocodataset.org/#format-data), read into flat arrays."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from datamodules.coco.records import checked_categories, image_columns, object_columns, read_columns
from datamodules.coco.tables import Annotations, Categories, File, Images, Segmentations
from datamodules.defects import Report, stop
from datamodules.loading.json_stream import read_records
from lit_cv.errors import UserError

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
            images.append(read_columns(path, "image", image_columns, records, report))
        elif key == "annotations":
            objects.append(
                read_columns(path, "annotation", lambda r: object_columns(r, masks, keypoints), records, report)
            )
        else:
            categories += read_columns(path, "category", checked_categories, records, report)
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
    rows = [row for _, chunk in chunks for row in read_columns(path, "category", checked_categories, chunk, stop)]
    return _in_order(rows)


def _in_order(categories: Categories) -> Categories:
    return sorted(categories, key=lambda category: int(category["id"]))


T = TypeVar("T", Annotations, Segmentations)


def _joined(chunks: Iterable[T], kind: type[T]) -> T:
    return kind(*(np.concatenate(column) for column in zip(*chunks, strict=True)))
