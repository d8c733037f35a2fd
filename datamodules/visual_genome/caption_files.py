"""COCO's captions with boxes, read into the arrays of Visual Genome's regions."""

from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.checks import places_of
from datamodules.coco.record_faults import caption_fault, image_fault
from datamodules.coco.records import Reader, image_columns, integers
from datamodules.coco.tables import Images
from datamodules.defects import Defect, Report, stop
from datamodules.loading.json_stream import read_records
from datamodules.visual_genome.files import Regions
from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import words_of

Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], list[str]]
"""Ids of N captions (-1 if missing) and of their images, int64 (N,); their boxes (N, 4): x, y, width, height."""


def read_images(path: Path, report: Report = stop) -> Images:
    """Read the images of a file.

    Args:
        path: The file.
        report: Receives a defect for each record that is not in COCO's format.

    Raises:
        UserError: If the file cannot be read or lists no image.
    """
    reader = Reader(path, report)
    chunks = [reader.columns("image", image_columns, image_fault, rows) for _, rows in read_records(path, ("images",))]
    if not reader.places["image"]:
        raise UserError(f"{path} has no images ('images' is missing or empty), so it is no COCO file: fix annotations.")
    return Images(
        np.concatenate([chunk.ids for chunk in chunks]),
        [name for chunk in chunks for name in chunk.names],
        np.concatenate([chunk.sizes for chunk in chunks]),
    )


def read_captions(path: Path, report: Report = stop) -> Regions:
    """Read the captions of a file; those of one image are together, images in the order of the file.

    Args:
        path: The file; each annotation has ``image_id``, ``bbox`` in pixels and ``caption``.
        report: Receives a defect for each record in another format, and for each caption without an image.

    Raises:
        UserError: If the file cannot be read, or has no captions.
    """
    images, reader = read_images(path, lambda _: None), Reader(path, report)
    chunks = [
        reader.columns("annotation", _columns, caption_fault, rows) for _, rows in read_records(path, ("annotations",))
    ]
    if not reader.places["annotation"]:
        raise UserError(f"{path} has no annotations, so it is no COCO file of captions: fix annotations.")
    ids, of_image, boxes = (np.concatenate([chunk[part] for chunk in chunks]) for part in range(3))
    captions = [caption for chunk in chunks for caption in chunk[3]]
    owners = places_of(images.ids, of_image)
    for row in np.flatnonzero(owners < 0).tolist():
        what = f"has a caption of the image {of_image[row]}, which the file does not list: fix it"
        report(Defect(path, what, "annotation without image"))
    order = np.argsort(owners, kind="stable")
    order = order[owners[order] >= 0]
    lexicon: defaultdict[str, int] = defaultdict(count().__next__)
    spoken = [[lexicon[word] for word in words_of(captions[row])] for row in order.tolist()]
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)[order]
    return Regions(
        images.ids,
        np.searchsorted(owners[order], np.arange(len(images.ids) + 1)).astype(np.int64),
        ids[order],
        corners.astype(np.float32),
        np.cumsum([0, *map(len, spoken)], dtype=np.int64),
        np.array([word for words in spoken for word in words], dtype=np.int32),
        list(lexicon),
    )


def _columns(records: list[dict[str, Any]]) -> Columns:
    captions = [record["caption"] for record in records]
    if not all(isinstance(caption, str) for caption in captions):
        raise ValueError("caption is no text")
    boxes = np.array([record["bbox"] for record in records], dtype=np.float64)
    if len(records) and boxes.shape != (len(records), 4):
        raise ValueError("a box does not have four numbers")
    ids = [-1 if record.get("id") is None else record["id"] for record in records]
    return integers(ids), integers([record["image_id"] for record in records]), boxes.reshape(-1, 4), captions
