"""The files of Visual Genome: region descriptions, read as a stream; image sizes; and the lists of the splits."""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.defects import Defect, Report, stop
from datamodules.loading.json_stream import read_json, read_list
from datamodules.visual_genome.record_faults import ID_KEYS, image_fault, region_fault, shown, size_fault, whole
from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import words_of

FOLDERS = ("VG_100K", "VG_100K_2")
REGIONS, IMAGES, DENSECAP = "region_descriptions.json", "image_data.json", "densecap_splits.json"


class Regions(NamedTuple):
    """The content of ``region_descriptions.json`` in flat arrays.

    Attributes:
        image_ids: int64 (I,).
        offsets: int64 (I + 1,); regions ``offsets[i]:offsets[i + 1]`` belong to image i.
        ids: int64 (M,), ids of the regions; -1 if missing.
        boxes: float32 (M, 4), x1, y1, x2, y2 in pixels, as annotated: they may lie outside or have no area.
        word_offsets: int64 (M + 1,); ``words[word_offsets[r]:word_offsets[r + 1]]`` are the words of region r.
        words: int32 (W,), indices into ``lexicon``.
        lexicon: All distinct words, see :func:`words_of`.
    """

    image_ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    word_offsets: NDArray[np.int64]
    words: NDArray[np.int32]
    lexicon: list[str]


def read_regions(path: Path, report: Report = stop) -> Regions:
    """Read the region descriptions of v1.0, v1.2 or v1.4, one image in memory at a time.

    Coordinates count from 0. A region needs only ``x``, ``y``, ``width``, ``height`` and ``phrase``; its id may be
    missing. The image's id is its ``id`` or ``image_id``, or that of its first region.

    Args:
        path: The file.
        report: Receives a defect for each image and region in another format, and for each image that occurs again.

    Raises:
        UserError: If the file is cut off or no list.
    """
    image_ids, offsets, word_offsets = array("q"), array("q", [0]), array("q", [0])
    ids, boxes, words = array("q"), array("f"), array("i")
    lexicon: defaultdict[str, int] = defaultdict(count().__next__)
    known: set[int] = set()
    for number, image in enumerate(read_list(path)):
        try:
            image_id, regions = _image_id(image), list(image["regions"])
        except _MALFORMED as error:
            report(_malformed(path, f"entry {number}", image_fault(image) or str(error)))
            continue
        if image_id in known:
            what = f"describes image {image_id} twice: fetch it again or remove one entry"
            report(Defect(path, what, "unusable record"))
            continue
        known.add(image_id)
        for place, region in enumerate(regions):
            try:
                x, y = region["x"], region["y"]
                box = array("f", (x, y, x + region["width"], y + region["height"]))
                spoken = words_of(region["phrase"])
            except _MALFORMED as error:
                report(_malformed(path, f"entry {number} in region {place}", region_fault(region) or str(error)))
                continue
            ids.append(_region_id(region))
            boxes.extend(box)
            words.extend(map(lexicon.__getitem__, spoken))
            word_offsets.append(len(words))
        image_ids.append(image_id)
        offsets.append(len(ids))
    corners = np.asarray(boxes).reshape(-1, 4)  # shares the memory, as do the arrays below
    images, starts, numbers, word_starts, places = map(np.asarray, (image_ids, offsets, ids, word_offsets, words))
    return Regions(images, starts, numbers, corners, word_starts, places, list(lexicon))


_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


def _malformed(path: Path, entry: str, fault: str) -> Defect:
    what = (
        f"is not in Visual Genome's format: {entry} ({fault}); "
        "fix it, or fetch the region descriptions of v1.0, v1.2 or v1.4"
    )
    return Defect(path, what, "unusable record")


def _region_id(region: dict[str, Any]) -> int:
    number = region.get("region_id", region.get("id"))
    if type(number) is not int:  # a call for each region would take a tenth of the time
        number = whole(number)
    return number if number is not None and 0 <= number < 2**63 else -1


def _image_id(image: dict[str, Any]) -> int:
    holder, keys = image, [key for key in ID_KEYS if key in image]
    if not keys:
        holder = image["regions"][0]
        keys = ["image_id" if "image_id" in holder else "image"]
    number = whole(holder[keys[0]])
    if number is None:
        raise ValueError(f"{keys[0]} is {shown(holder[keys[0]])}, not a number")
    return number


def read_sizes(path: Path) -> dict[int, tuple[int, int]]:
    """Read width and height in pixels of each image, by its id, from ``image_data.json``.

    Raises:
        UserError: If the file is missing or has another format.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path} is not Visual Genome's list of images (it is {shown(rows)}): fetch it again.")
    for place, row in enumerate(rows):
        if fault := size_fault(row):
            raise UserError(
                f"{path} is not Visual Genome's list of images (entry {place}: {fault}): fix it, or fetch it again."
            )
    return {int(row.get("image_id", row.get("id"))): (int(row["width"]), int(row["height"])) for row in rows}


def find_images(root: Path) -> dict[int, str]:
    """Return the path, relative to ``root``, of each image in the two folders of the official archives, by its id."""
    files = (file for folder in reversed(FOLDERS) for file in (root / folder).glob("*.jpg"))
    return {int(file.stem): f"{file.parent.name}/{file.name}" for file in files if file.stem.isdecimal()}


def list_file(root: Path, name: str) -> Path:
    """Return the file that lists the images of the set ``name``; see :func:`read_set`."""
    if name == "all":
        return root / REGIONS
    return root / DENSECAP if name.startswith("densecap_") else root / f"{name}.txt"


def read_set(root: Path, name: str, described: Iterable[int]) -> list[int]:
    """Read the ids of the images in a set.

    Args:
        root: Folder that holds the lists.
        name: ``densecap_train``, ``densecap_val`` or ``densecap_test``: the lists of DenseCap's
            ``densecap_splits.json``; ``all``: all images with regions; another name: ``<root>/<name>.txt``, one id per
            line.
        described: Ids of all images that have region descriptions.

    Raises:
        UserError: If the list is missing, empty, or in another format.
    """
    if name == "all":
        return list(described)
    path = list_file(root, name)
    if not path.is_file():
        there = sorted(file.stem for file in root.glob("*.txt"))
        raise UserError(
            f"{path} is missing, which the set {name!r} needs: choose densecap_train, densecap_val, densecap_test "
            f"(with DenseCap's {DENSECAP}), all, or the name of a list in {root} ({', '.join(there) or 'none there'})."
        )
    listed = _listed(path, name)
    numbers = [whole(number) for number in listed]
    if None in numbers:
        place = numbers.index(None)
        raise UserError(
            f"{path} does not list the images of {name!r} (number {place + 1} is {shown(listed[place])}, not an "
            "image's id): fix it."
        )
    if not numbers:
        raise UserError(f"The set {name!r} of {path} is empty: choose another set.")
    return [number for number in numbers if number is not None]


def _listed(path: Path, name: str) -> list[Any]:
    """Return the entries of the list of a set."""
    if path.name != DENSECAP:
        try:
            return path.read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read as UTF-8 ({error}): save it as UTF-8.") from None
    lists, key = read_json(path), name.removeprefix("densecap_")
    entries = lists.get(key) if isinstance(lists, dict) else None
    if not isinstance(entries, list):
        raise UserError(
            f"{path} has no list {key!r} of images for the set {name!r}: restore it, or choose another set."
        )
    return entries
