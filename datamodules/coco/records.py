"""The records of COCO's annotation files, read into flat arrays."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.tables import Annotations, Categories, Images, Segmentations
from datamodules.defects import Defect, Report
from lit_cv.errors import UserError
from lit_cv.ops.rle import decompress_runs

R = TypeVar("R")


def read_columns(path: Path, kind: str, read: Callable[[list[Any]], R], records: list[Any], report: Report) -> R:
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
    return read_columns(path, kind, read, sound, report)


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


def object_columns(
    records: list[dict[str, Any]], masks: bool, keypoints: bool
) -> tuple[Annotations, Segmentations | None]:
    """Return the columns of annotations, and with ``masks`` those of their masks."""
    return _annotations(records, keypoints), _segmentations(records) if masks else None


def image_columns(records: list[dict[str, Any]]) -> Images:
    """Return the columns of images."""
    names = [record["file_name"] for record in records]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("file_name is no text")
    sizes = _integers([(record["width"], record["height"]) for record in records]).reshape(-1, 2)
    if (sizes < 1).any():
        raise ValueError("it has no pixels")
    return Images(_integers([record["id"] for record in records]), names, sizes.astype(np.int32))


def checked_categories(records: Categories) -> Categories:
    """Return categories after checking their ids and names."""
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
