"""What is wrong with the files of Visual Genome."""

from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.defects import Defect, Listed, Survey, box_defects, repeated
from datamodules.visual_genome.files import (
    FOLDERS,
    IMAGES,
    REGIONS,
    Regions,
    find_images,
    list_file,
    read_regions,
    read_set,
    read_sizes,
)
from datamodules.visual_genome.near_duplicates import near_duplicates
from datamodules.visual_genome.packed_regions import expand
from lit_cv.errors import UserError

Rows = NDArray[np.int64]


class Reading(NamedTuple):
    """All files but the lists, read past their defects.

    Attributes:
        root: Their folder.
        regions: None where the file cannot be read.
        sizes: Width and height of each image; None likewise.
        images: Path of each image, relative to the root.
        defects: What was wrong.
    """

    root: Path
    regions: Regions | None
    sizes: dict[int, tuple[int, int]] | None
    images: dict[int, str]
    defects: list[Defect]


def read_all(root: Path) -> Reading:
    """Read region descriptions and sizes, and look for the images."""
    path, defects = root / REGIONS, list[Defect]()
    regions = sizes = None
    try:
        regions = read_regions(path, lambda error: defects.append(Defect.of(error, path, "unusable record")))
    except UserError as error:
        defects.append(Defect.of(error, path, "unusable annotations"))
    try:
        sizes = read_sizes(root / IMAGES)
    except UserError as error:
        defects.append(Defect.of(error, root / IMAGES, "unusable annotations"))
    images = find_images(root)
    if not images:
        defects.append(Defect(root, f"has no image in {' or '.join(FOLDERS)}: put them there", "missing folder"))
    return Reading(root, regions, sizes, images, defects)


def list_images(reading: Reading, sets: Sequence[str]) -> tuple[list[int], list[Defect]]:
    """The images that sets name, each once, and what is wrong with the lists."""
    images: dict[int, None] = {}
    defects = []
    described = () if reading.regions is None else reading.regions.image_ids.tolist()
    for name in sets:
        path = list_file(reading.root, name)
        try:
            ids = read_set(reading.root, name, described)
        except UserError as error:
            defects.append(Defect.of(error, path, "unusable image list"))
            continue
        for number in ids:
            if number in images:
                defects.append(Defect(path, f"names image {number} a second time: take it out", "duplicate id"))
            images[number] = None
    return list(images), defects


def known_words(reading: Reading, training: Sequence[int], max_words: int, min_count: int) -> NDArray[np.bool_]:
    """Which words of the lexicon are in the vocabulary, which the training split's images give, bool (L,).

    The words of regions whose box is dropped count here, too.
    """
    if reading.regions is None:
        return np.zeros(0, dtype=np.bool_)
    regions, (rows, _) = reading.regions, _rows_of(reading.regions, training)
    lengths = regions.word_offsets[rows + 1] - regions.word_offsets[rows]
    short = lengths <= max_words
    words = regions.words[expand(regions.word_offsets[rows[short]], lengths[short])]
    common: NDArray[np.bool_] = np.bincount(words, minlength=len(regions.lexicon)) >= min_count
    return common


def survey_regions(
    reading: Reading, sets: Sequence[str], images: Sequence[int], max_words: int, known: NDArray[np.bool_]
) -> Survey:
    """What is wrong with the images of a split and their regions.

    Args:
        reading: The files.
        sets: Names of the split's lists.
        images: Their images, each once.
        max_words: Regions with more words are dropped.
        known: Which words of the lexicon are in the vocabulary.
    """
    defects = list(_lacks(reading, sets, images))
    if reading.regions is not None:
        defects += _region_defects(reading, reading.regions, images, max_words, known)
    listed = [
        Listed(reading.root / reading.images[number], (reading.sizes or {}).get(number), reading.root / IMAGES)
        for number in images
        if number in reading.images
    ]
    return Survey(listed, defects)


def _lacks(reading: Reading, sets: Sequence[str], images: Sequence[int]) -> Iterator[Defect]:
    """Images without regions, size or file; where a file says nothing at all, that is told of elsewhere."""
    described = None if reading.regions is None else set(reading.regions.image_ids.tolist())
    paths = " or ".join(str(list_file(reading.root, name)) for name in sets)
    sources: tuple[tuple[Container[int] | None, str, str], ...] = (
        (described, REGIONS, "regions"),
        (reading.sizes, IMAGES, "size"),
        (reading.images or None, "", "file"),
    )
    for known, file, what in sources:
        for number in images:
            if known is not None and number not in known:
                text = f"lacks the {what} of image {number}, which {paths} names: fetch it again, or fix the list"
                yield Defect(reading.root / file, text, f"image without {what}")


def _region_defects(
    reading: Reading, regions: Regions, images: Sequence[int], max_words: int, known: NDArray[np.bool_]
) -> Iterator[Defect]:
    path = reading.root / REGIONS
    rows, owners = _rows_of(regions, images)
    starts = dict(zip(regions.image_ids.tolist(), regions.offsets.tolist(), strict=False))

    def name(place: int) -> str:
        row, image = int(rows[place]), int(owners[place])
        number = regions.ids[row] if regions.ids[row] >= 0 else f"at place {row - starts[image] + 1}"
        return f"region {number} of image {image}"

    sizes = np.array([(reading.sizes or {}).get(image, (-1, -1)) for image in images]).reshape(-1, 2)
    order = np.argsort(images)
    sizes = sizes[order[np.searchsorted(np.asarray(images)[order], owners)]] if len(rows) else sizes[:0]
    sized = np.flatnonzero(sizes[:, 0] > 0)
    yield from box_defects(path, lambda place: name(sized[place]), regions.boxes[rows[sized]], sizes[sized])

    lengths = regions.word_offsets[rows + 1] - regions.word_offsets[rows]
    again = (repeated(regions.ids) & (regions.ids >= 0))[rows]
    unknown = (lengths > 0) & (lengths <= max_words) & (_known_of(regions, known)[rows] == 0)
    twins = near_duplicates(regions, rows, owners)
    findings: tuple[tuple[NDArray[np.bool_], str, Callable[[int], str]], ...] = (
        (regions.ids[rows] < 0, "missing region id", lambda _: "has no id: add it"),
        (again, "duplicate id", lambda _: "has an id that another one has, too: fix it"),
        (lengths == 0, "empty phrase", lambda _: "has a phrase without a word and is dropped: fix or remove it"),
        (
            lengths > max_words,
            "long phrase",
            lambda place: f"has {lengths[place]} words, more than max_words={max_words}, and is dropped: shorten it",
        ),
        (unknown, "phrase without a known word", lambda _: "has no word of the vocabulary: fix it or lower min_count"),
        (
            twins >= 0,
            "near-duplicate",
            lambda place: f"says nearly the same of nearly the same box as {name(twins[place])}: remove one of them",
        ),
    )
    for wrong, kind, what in findings:
        for place in np.flatnonzero(wrong).tolist():
            yield Defect(path, f"{name(place)} {what(place)}", kind)


def _rows_of(regions: Regions, images: Sequence[int]) -> tuple[Rows, Rows]:
    """The regions of images, as far as these are described, and the id of each one's image."""
    places = {number: place for place, number in enumerate(regions.image_ids.tolist())}
    members = np.array([places[number] for number in images if number in places], dtype=np.int64)
    lengths = np.diff(regions.offsets)[members]
    return expand(regions.offsets[members], lengths), np.repeat(regions.image_ids[members], lengths)


def _known_of(regions: Regions, known: NDArray[np.bool_]) -> Rows:
    """The number of words of each region that are in the vocabulary, int64 (M,)."""
    sums = np.concatenate([[0], np.cumsum(known[regions.words])])
    counts: Rows = sums[regions.word_offsets[1:]] - sums[regions.word_offsets[:-1]]
    return counts
