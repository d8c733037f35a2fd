"""The records of COCO's annotation files, read into flat arrays."""

from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.record_faults import (
    LARGEST_FLOAT,
    LARGEST_POINT,
    LARGEST_SIDE,
    category_fault,
    is_whole,
    mask_faults,
    object_fault,
    shown,
)
from datamodules.coco.tables import Annotations, Categories, Images, Segmentations
from datamodules.defects import Defect, Report
from lit_cv.errors import UserError
from lit_cv.ops.rle import decompress_runs

R = TypeVar("R")


class Reader:
    """Turns records into columns; reports and leaves out each record that cannot be read.

    Args:
        path: The file.
        report: Receives a defect for each such record.
    """

    def __init__(self, path: Path, report: Report) -> None:
        self.path, self.report, self.places = path, report, Counter[str]()

    def columns(
        self,
        kind: str,
        read: Callable[[list[Any]], R],
        fault: Callable[[dict[str, Any]], str | None],
        records: list[Any],
    ) -> R:
        """Return the columns of some records.

        Args:
            kind: What a record describes, for messages.
            read: Returns the columns of records.
            fault: Returns the words for the fault of a record; None if it finds none.
            records: The next records of this kind in the file.
        """
        start, self.places[kind] = self.places[kind], self.places[kind] + len(records)
        try:
            return read(records)
        except _UNREADABLE:
            sound = []
            for place, record in enumerate(records, start=start + 1):
                reason = _reason(read, fault, record)
                if reason is None:
                    sound.append(record)
                    continue
                name = record.get("id") if isinstance(record, dict) else None
                which = f"without id (number {place} of the list)" if name is None else name
                what = f"has the {kind} {which} that is not in COCO's format ({reason}): fix it"
                self.report(Defect(self.path, what, "unusable record"))
        try:
            return read(sound)
        except _UNREADABLE:
            raise UserError(f"{self.path} has {kind} records whose values differ in kind: fix it.") from None

    def objects(self, masks: bool, keypoints: bool, records: list[Any]) -> tuple[Annotations, Segmentations | None]:
        """Return the columns of annotations, and with ``masks`` those of their masks, see :meth:`columns`."""

        def read(rows: list[Any]) -> tuple[Annotations, Segmentations | None]:
            return _annotations(rows, keypoints), _segmentations(rows) if masks else None

        return self.columns("annotation", read, lambda record: object_fault(record, masks, keypoints), records)


_UNREADABLE = (KeyError, IndexError, ValueError, TypeError, OverflowError, AttributeError)


def _reason(
    read: Callable[[list[Any]], object], fault: Callable[[dict[str, Any]], str | None], record: Any
) -> str | None:
    """Return the reason why a record cannot be read; None if it can."""
    if not isinstance(record, dict):
        return f"it is {shown(record)}, not an object"
    try:
        read([record])
    except _UNREADABLE as error:
        return fault(record) or str(error)
    return None


def image_columns(records: list[dict[str, Any]]) -> Images:
    """Return the columns of images."""
    names = [record["file_name"] for record in records]
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError("file_name is no text")
    sizes = integers([(record.get("width") or -1, record.get("height") or -1) for record in records]).reshape(-1, 2)
    sizes[(sizes == -1).any(axis=1)] = -1
    if (sizes < -1).any() or (sizes >= LARGEST_SIDE).any():
        raise ValueError("it has no pixels, or too many")
    return Images(integers([record["id"] for record in records]), names, sizes.astype(np.int32))


def annotated_categories(records: list[Any]) -> list[int]:
    """Return the ids of the categories of annotations; a record without a usable one is a defect of its own."""
    return [
        record["category_id"] for record in records if isinstance(record, dict) and is_whole(record.get("category_id"))
    ]


def checked_categories(records: Categories) -> Categories:
    """Return categories after checking their ids and names; numbers as names become text."""
    checked = []
    for record in records:
        if fault := category_fault(record):
            raise ValueError(fault)
        joints = [str(name) for name in record.get("keypoints") or ()]
        checked.append({**record, "id": int(record["id"]), "name": str(record["name"]), "keypoints": joints})
    return checked


def _annotations(records: list[dict[str, Any]], keypoints: bool) -> Annotations:
    boxes = np.array([record["bbox"] for record in records], dtype=np.float64)
    if len(records) and boxes.shape != (len(records), 4):
        raise ValueError("a box does not have four numbers")
    boxes = boxes.reshape(-1, 4)
    areas = np.array([record.get("area") for record in records], dtype=np.float64)
    unmeasured = np.array([record.get("area") is None for record in records], dtype=np.bool_)
    joints = [record.get("keypoints") or () for record in records] if keypoints else []
    return Annotations(
        integers([record["id"] for record in records]),
        integers([record["image_id"] for record in records]),
        integers([record["category_id"] for record in records]),
        boxes,
        np.where(unmeasured, boxes[:, 2:].prod(axis=1), areas),
        unmeasured,
        _flags([record.get("iscrowd") for record in records]),
        np.fromiter(chain.from_iterable(joints), dtype=np.float64),
        np.array([len(points) for points in joints], dtype=np.int64),
        _flags([record.get("num_keypoints") for record in records] if keypoints else []),
    )


def _segmentations(records: list[dict[str, Any]]) -> Segmentations:
    written = [record.get("segmentation") or [] for record in records]
    if not all(isinstance(mask, list | dict) for mask in written):
        raise ValueError("its segmentation is neither polygons nor an RLE")
    polygons = [mask if isinstance(mask, list) else [] for mask in written]
    kept = [[polygon for polygon in mask if len(polygon) >= 6 and len(polygon) % 2 == 0] for mask in polygons]
    odd, short = np.zeros((2, len(records)), dtype=np.int64)
    for place, (mask, rest) in enumerate(zip(polygons, kept, strict=True)):
        if len(mask) > len(rest):
            odd[place] = sum(len(polygon) % 2 for polygon in mask)
            short[place] = len(mask) - len(rest) - odd[place]
            if next(mask_faults(mask), None):
                raise ValueError("a polygon is no list of numbers")
    points = np.fromiter(chain.from_iterable(chain.from_iterable(kept)), dtype=np.float64)
    if not (np.abs(points) < LARGEST_POINT).all():
        raise ValueError("its polygon reaches beyond 100,000 pixels")
    runs = [_runs(mask) if isinstance(mask, dict) else _NO_RUNS for mask in written]
    sizes = [mask["size"][::-1] if isinstance(mask, dict) else (-1, -1) for mask in written]
    return Segmentations(
        points,
        np.array([len(polygon) for mask in kept for polygon in mask], dtype=np.int64),
        np.array([len(mask) for mask in kept], dtype=np.int64),
        np.concatenate([_NO_RUNS, *runs]),
        np.array([len(counts) for counts in runs], dtype=np.int64),
        integers(sizes).reshape(len(records), 2),
        short,
        odd,
    )


_NO_RUNS = np.zeros(0, dtype=np.uint32)


def _runs(mask: dict[str, Any]) -> NDArray[np.uint32]:
    """Return the runs of an RLE, given as a list of counts or as pycocotools' compressed text."""
    counts = mask["counts"]
    runs = decompress_runs(counts.encode()) if isinstance(counts, str) else integers(counts)
    if (runs < 0).any() or int(runs.sum()) != int(mask["size"][0]) * int(mask["size"][1]):
        raise ValueError("the runs of its RLE do not add up to its size")
    return runs.astype(np.uint32)


def _flags(values: list[Any]) -> NDArray[np.int64]:
    """Return an array of values that must be integers; -1 for those that are null or missing."""
    return integers([-1 if value is None else value for value in values])


def integers(values: list[Any]) -> NDArray[np.int64]:
    """Return an array of values that must be integers; floats without a fraction, such as 224.0, are."""
    array = np.array(values)
    kind = array.dtype.kind
    whole = kind == "f" and bool(np.all(np.abs(array) < LARGEST_FLOAT) and np.all(array == np.floor(array)))
    if array.size and not (whole or kind in "ib" or (kind == "u" and array.max() < 2**63)):
        raise ValueError(f"{values[0]!r} is not an integer")
    return array.astype(np.int64)
