"""The first records of a file in COCO's format, found without reading the whole file."""

import json
import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_RECORDS = 256  # of each list
_WINDOW = 1 << 20  # bytes
_LIST = re.compile(rb"\s*:\s*\[")
_BETWEEN = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Head:
    """Content of the first records of a file.

    Attributes:
        names: File names of the first images.
        annotated: Whether there are annotations.
        boxes: Whether one has a box.
        masks: Whether one has a polygon or mask.
        captions: Whether one has a box and a caption.
        joints: Names of the joints, if a category names them and an annotation has them.
    """

    names: tuple[str, ...]
    annotated: bool
    boxes: bool
    masks: bool
    captions: bool
    joints: tuple[str, ...]


def read_head(path: Path) -> Head | None:
    """Read the head of a JSON file; None if it is not in COCO's format.

    A damaged file counts by its undamaged beginning, so that its DataModule names the damage.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            if text[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
                return None
            images, annotations = _records(text, b'"images"'), _records(text, b'"annotations"')
            categories = _records(text, b'"categories"')
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return None
    names = [image.get("file_name") for image in images or ()]
    if images is None or annotations is None or not all(isinstance(name, str) for name in names):
        return None
    return Head(
        names=tuple(map(str, names)),
        annotated=bool(annotations),
        boxes=any("bbox" in one for one in annotations),
        masks=any(one.get("segmentation") for one in annotations),
        captions=any("bbox" in one and isinstance(one.get("caption"), str) for one in annotations),
        joints=_joints(categories or ()) if any(one.get("keypoints") for one in annotations) else (),
    )


def _joints(categories: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    named = (category.get("keypoints") for category in categories)
    return next((tuple(map(str, joints)) for joints in named if joints and isinstance(joints, list)), ())


def _records(text: mmap.mmap, key: bytes) -> list[dict[str, Any]] | None:
    """Return the first records of a list; None if there is no such key."""
    start = text.find(key, 0, _WINDOW)
    if start < 0:  # official files end with their categories
        start = text.rfind(key, max(0, len(text) - 4 * _WINDOW))
    if start < 0:
        start = text.find(key)
    while start >= 0:
        place = start + len(key)
        if opening := _LIST.match(text[place : place + 32]):
            return _parsed(text[place + opening.end() : place + opening.end() + _WINDOW].decode(errors="replace"))
        start = text.find(key, place)
    return None


def _parsed(text: str) -> list[dict[str, Any]]:
    records, place = list[dict[str, Any]](), 0
    while len(records) < _RECORDS:
        try:
            record, place = _DECODER.raw_decode(text, _BETWEEN.match(text, place).end())  # type: ignore[union-attr]
        except (ValueError, RecursionError):  # the end of the list or of the window
            break
        if isinstance(record, dict):
            records.append(record)
    return records
