"""Words for records that are not in COCO's format: the field, its value, and the expected form."""

import json
from collections.abc import Iterator
from typing import Any

LARGEST_FLOAT = 2**53  # larger floats skip integers
LARGEST_SIDE = 2**31  # pixels
LARGEST_POINT = 1e5  # pixels: rasterizing takes time and memory in proportion


def image_fault(record: dict[str, Any]) -> str | None:
    """Return the first fault of an image's record; None if there is none."""
    return next(_image_faults(record), None)


def category_fault(record: dict[str, Any]) -> str | None:
    """Return the first fault of a category's record; None if there is none."""
    return next(_category_faults(record), None)


def object_fault(record: dict[str, Any], masks: bool, keypoints: bool) -> str | None:
    """Return the first fault of an annotation's record; None if there is none.

    Args:
        record: The record.
        masks: Whether its segmentation is used.
        keypoints: Whether its joints are used.
    """
    return next(_object_faults(record, masks, keypoints), None)


def caption_fault(record: dict[str, Any]) -> str | None:
    """Return the first fault of the record of a caption with a box; None if there is none."""
    return next(_caption_faults(record), None)


def is_number(value: Any) -> bool:
    """Return whether a value is a number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Return whether a value is a number without a fraction that 64 bits hold, such as 224 or 224.0."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < LARGEST_FLOAT
    return is_number(value) and abs(value) < 2**63


def shown(value: Any) -> str:
    """Return a value as JSON writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 50 else f"{text[:47]}..."


def _image_faults(record: dict[str, Any]) -> Iterator[str]:
    yield from _integer(record, "id")
    yield from _text(record, "file_name")
    for key in ("width", "height"):
        if record.get(key) is not None:
            yield from _integer(record, key)
            if not 0 <= record[key] < LARGEST_SIDE:
                yield f"{key} is {shown(record[key])}, so it has no pixels, or too many"


def _category_faults(record: dict[str, Any]) -> Iterator[str]:
    yield from _integer(record, "id")
    if not is_number(record.get("name")):
        yield from _text(record, "name")
    joints = record.get("keypoints") or []
    if not isinstance(joints, list) or not all(isinstance(name, str) or is_number(name) for name in joints):
        yield f"keypoints is {shown(joints)}, not a list of names"


def _object_faults(record: dict[str, Any], masks: bool, keypoints: bool) -> Iterator[str]:
    for key in ("id", "image_id", "category_id"):
        yield from _integer(record, key)
    yield from _box_faults(record)
    if not (record.get("area") is None or is_number(record["area"])):
        yield f"area is {shown(record['area'])}, not a number"
    if record.get("iscrowd") is not None:
        yield from _integer(record, "iscrowd", bool)
    if masks:
        yield from mask_faults(record.get("segmentation"))
    if keypoints:
        yield from _joint_faults(record)


def _caption_faults(record: dict[str, Any]) -> Iterator[str]:
    yield from _integer(record, "image_id")
    yield from _box_faults(record)
    yield from _text(record, "caption")
    if record.get("id") is not None:
        yield from _integer(record, "id")


def _box_faults(record: dict[str, Any]) -> Iterator[str]:
    box = record.get("bbox")
    if "bbox" not in record:
        yield "'bbox' is missing"
    elif not isinstance(box, list) or len(box) != 4 or not all(value is None or is_number(value) for value in box):
        yield f"bbox is {shown(box)}, not [x, y, width, height]"


def mask_faults(mask: Any) -> Iterator[str]:
    """Yield the faults of a segmentation."""
    if isinstance(mask, dict):
        yield from _run_faults(mask)
    elif isinstance(mask, list):
        for polygon in mask:
            yield from _polygon_faults(polygon, mask)
    elif mask is not None:
        yield f"segmentation is {shown(mask)}, neither polygons nor an RLE"


def _polygon_faults(polygon: Any, mask: list[Any]) -> Iterator[str]:
    if isinstance(polygon, dict):
        yield "segmentation is a list of RLEs; write the RLE without the brackets, and one for each annotation"
    elif not isinstance(polygon, list):
        yield f"segmentation is {shown(mask)}, not a list of polygons [[x1, y1, x2, y2, ...]]"
    elif any(isinstance(point, list) for point in polygon):
        yield f"segmentation has the corners {shown(polygon)}, not one flat list [x1, y1, x2, y2, ...] for each polygon"
    else:
        for value in polygon:
            if not is_number(value):
                yield f"segmentation has the coordinate {_quoted(value)}, not a number"
            elif not abs(value) < LARGEST_POINT:
                yield f"segmentation has the coordinate {shown(value)}; a polygon may reach to 100,000 pixels"


def _run_faults(mask: dict[str, Any]) -> Iterator[str]:
    for key in ("size", "counts"):
        if key not in mask:
            yield f"segmentation is an RLE whose {key!r} is missing"
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(is_whole(side) and side > 0 for side in size):
        yield f"segmentation is an RLE whose size is {shown(size)}, not [height, width]"
    if not isinstance(counts, str) and not (isinstance(counts, list) and all(map(is_whole, counts))):
        yield f"segmentation is an RLE whose counts are {shown(counts)}, neither numbers of pixels nor compressed text"


def _joint_faults(record: dict[str, Any]) -> Iterator[str]:
    joints = record.get("keypoints")
    if joints is not None and not isinstance(joints, list):
        yield f"keypoints is {shown(joints)}, not a list [x1, y1, flag1, x2, y2, flag2, ...]"
    elif joints and any(isinstance(joint, list) for joint in joints):
        yield f"keypoints has lists, such as {shown(joints[0])}, not one flat list [x1, y1, flag1, x2, y2, flag2, ...]"
    for value in joints or []:
        if not is_number(value):
            yield f"keypoints has {_quoted(value)}, not a number"
    if record.get("num_keypoints") is not None:
        yield from _integer(record, "num_keypoints")


def _integer(record: dict[str, Any], key: str, *others: type) -> Iterator[str]:
    value = record.get(key)
    if key not in record:
        yield f"{key!r} is missing"
    elif isinstance(value, str):
        yield f"{key} is {shown(value)}, text; {_quoted(value)} is not an integer, write a whole number without quotes"
    elif not (is_whole(value) or isinstance(value, others)):
        yield f"{key} is {shown(value)}, not a whole number"


def _text(record: dict[str, Any], key: str) -> Iterator[str]:
    if key not in record:
        yield f"{key!r} is missing"
    elif not isinstance(record[key], str):
        yield f"{key} is {shown(record[key])}, no text"
    elif not record[key]:
        yield f"{key} is empty"


def _quoted(value: Any) -> str:
    return repr(value) if isinstance(value, str) else shown(value)
