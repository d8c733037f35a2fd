"""Pictures and labels in YOLO's form, read, checked and counted, for :class:`PackedCOCO`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.boxes.packed_boxes import clip_boxes
from datamodules.defects import ROUNDING, Report, stop
from datamodules.loading.decode import image_size
from datamodules.loading.packed import Content, as_bytes, offsets_of
from datamodules.loading.picture_folders import relative_to
from datamodules.loading.pool import Pool
from datamodules.yolo.labels import Lines, parse_labels
from datamodules.yolo.objects import Objects, objects_of
from datamodules.yolo.pictures import Labeled
from lit_cv.errors import UserError

_CHUNK = 512


class Read(NamedTuple):
    """The content of N pictures' label files.

    Attributes:
        sizes: int32 (N, 2), width and height of each picture; 0 if it cannot be read.
        lines: The labels.
        missing: Indices of the pictures without a label file.
        empty: Indices of the pictures whose label file is empty.
    """

    sizes: NDArray[np.int32]
    lines: Lines
    missing: list[int]
    empty: list[int]


def read_labels(images: Sequence[Labeled], names: Sequence[str], report: Report = stop, upright: bool = False) -> Read:
    """Read the sizes of pictures, from their headers, and their labels.

    Args:
        images: The pictures.
        names: Names of the classes.
        report: Receives a defect for each line that is no label.
        upright: Whether the labels refer to the upright pictures.

    Raises:
        UserError: If a picture cannot be read and ``report`` is :func:`stop`.
    """
    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    with Pool() as pool, tqdm(total=len(images), desc="Reading labels", unit="image", delay=2) as bar:
        found: list[tuple[tuple[int, int], bytes | None]] = []
        for chunk in pool.map(lambda chunk: [_look(image, report is stop, upright) for image in chunk], chunks):
            found += chunk
            bar.update(len(chunk))
    sizes = np.array([size for size, _ in found], dtype=np.int32).reshape(-1, 2)
    texts = [text for _, text in found]
    lines = parse_labels([image.labels for image in images], texts, names, report)
    missing = [place for place, text in enumerate(texts) if text is None]
    return Read(
        sizes, lines, missing, [place for place, text in enumerate(texts) if text is not None and not text.strip()]
    )


def _look(image: Labeled, strict: bool, upright: bool) -> tuple[tuple[int, int], bytes | None]:
    """Return the size of a picture, and the content of its label file, None if there is none."""
    try:
        size = image_size(Path(image.picture), Path(image.labels), upright=upright)
    except UserError:
        if strict:
            raise
        size = 0, 0
    try:
        with open(image.labels, "rb") as file:
            return size, file.read()
    except FileNotFoundError:
        return size, None
    except OSError as error:
        raise UserError(f"{image.labels} cannot be read ({error.strerror}): restore its permissions.") from None


def pack_labels(
    root: Path, images: Sequence[Labeled], names: Sequence[str], masks: bool, upright: bool = False
) -> Content:
    """Read the pictures and labels of a split, and pack them.

    Args:
        root: Folder that the names of the pictures are relative to.
        images: The pictures.
        names: Names of the classes.
        masks: Whether objects have masks; those without a polygon are dropped.
        upright: Whether the labels refer to the upright pictures.

    Returns:
        The arrays of ``PackedCOCO``.

    Raises:
        UserError: If a file is unusable; the message names the file, the line and the problem.
    """
    sizes, lines, missing, empty = read_labels(images, names, upright=upright)
    objects = objects_of(lines, sizes)
    boxes, solid = clip_boxes(objects.corners, sizes[lines.images])
    kept = solid & (objects.counts > 0) if masks else solid
    offsets = offsets_of(lines.images[kept], len(images))
    arrays = {
        "names": as_bytes(relative_to(image.picture, root) for image in images),
        "sizes": sizes,
        "offsets": offsets,
        "boxes": boxes[kept],
        "labels": lines.classes[kept] + 1,
        "classes": as_bytes(names),
        "areas": objects.areas[kept].astype(np.float32),
        "crowds": np.zeros(int(kept.sum()), dtype=np.int64),
        **_polygons(objects, kept, masks),
        "joints": np.zeros((0, 0, 3), dtype=np.float32),
        "joint_names": as_bytes(()),
        "limbs": np.zeros((0, 2), dtype=np.int64),
    }
    counts = {
        "images": len(images),
        "empty": int((np.diff(offsets) == 0).sum()),
        "unlabeled": len(missing) + len(empty),
        "boxes": int(kept.sum()),
        "clipped": int(((np.abs(boxes - objects.corners) > ROUNDING).any(axis=1) & kept).sum()),
        "dropped": int((~solid).sum()),
    }
    if masks:
        counts["without_mask"] = int((solid & ~kept).sum())
    return Content(arrays, counts, tuple(_notes(images, missing, empty, counts)))


def _polygons(
    objects: Objects, kept: NDArray[np.bool_], masks: bool
) -> dict[str, NDArray[np.float64 | np.int64 | np.uint32]]:
    """Return the polygons of the objects, one each; none without masks."""
    lengths = objects.counts[objects.counts > 0] if masks else np.zeros(0, dtype=np.int64)
    ends = np.cumsum(objects.counts > 0)[kept] if masks else np.zeros(0, dtype=np.int64)
    return {
        "points": objects.points if masks else np.zeros(0),
        "corners": np.concatenate([[0], np.cumsum(lengths)]),
        "runs": np.zeros(0, dtype=np.uint32),
        "polygons": np.stack([ends - 1, ends], axis=1),
        "spans": np.zeros((len(ends), 2), dtype=np.int64),
    }


def _notes(
    images: Sequence[Labeled], missing: Sequence[int], empty: Sequence[int], counts: Mapping[str, int]
) -> Iterator[str]:
    """Yield sentences about images without objects, and about objects that are left out."""
    folder = os.path.dirname(images[0].labels)
    for places, what in ((missing, "have no label file"), (empty, "have an empty label file")):
        if places:
            example = images[places[0]].labels
            yield f"{len(places)} of {len(images)} images {what} ({example}, ...) and count as images without objects."
    lost = {
        "have no area within their image": counts["dropped"],
        "are boxes without a polygon, so have no mask,": counts.get("without_mask", 0),
    }
    for what, count in lost.items():
        if count:
            yield f"{folder}: {count} of {sum(lost.values()) + counts['boxes']} objects {what} and are left out."
    if counts["clipped"]:
        yield f"{folder}: {counts['clipped']} boxes reach outside their image and are clipped."
