"""All defects of the files of Visual Genome, for ``litcv doctor``."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.defects import Defect, Listed, Survey
from datamodules.visual_genome.checks import RegionTable, image_errors, list_images, normalized, nothing_to_learn
from datamodules.visual_genome.files import FOLDERS, IMAGES, REGIONS, Regions, find_images, read_regions, read_sizes
from datamodules.visual_genome.packed_regions import expand
from lit_cv.errors import UserError


class Reading(NamedTuple):
    """The content of all files except the lists, with their defects.

    Attributes:
        root: Their folder.
        regions: None if the file cannot be read.
        sizes: Width and height of each image; None if the file cannot be read.
        images: Path of each image, relative to the root.
        defects: The defects found while reading.
    """

    root: Path
    regions: Regions | None
    sizes: dict[int, tuple[int, int]] | None
    images: dict[int, str]
    defects: list[Defect]

    @property
    def described(self) -> list[int]:
        """Ids of the images with regions."""
        return [] if self.regions is None else self.regions.image_ids.tolist()


def read_all(root: Path) -> Reading:
    """Read region descriptions and sizes, and find the image files."""
    path, defects = root / REGIONS, list[Defect]()
    regions = sizes = None
    try:
        regions = read_regions(path, defects.append)
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


def survey_regions(
    reading: Reading, sets: Sequence[str], training: Sequence[str], max_words: int, min_count: int
) -> Survey:
    """Return the images of a split and all defects of its list, images and regions.

    Args:
        reading: The files.
        sets: Names of the split's lists.
        training: Names of the training split's lists, which give the vocabulary.
        max_words: Regions with more words are dropped.
        min_count: Minimum number of times that a word of the vocabulary occurs.
    """
    defects = list(reading.defects)
    images = list_images(reading.root, sets, reading.described, defects.append)
    described = None if reading.regions is None else set(reading.described)
    defects += image_errors(reading.root, sets, images, described, reading.sizes, reading.images or None)
    if reading.regions is not None:
        table = RegionTable(reading.root / REGIONS, reading.regions, images, reading.sizes or {})
        trained = list_images(reading.root, training, reading.described, lambda _: None)
        known = _known_words(reading.regions, trained, max_words, min_count)
        defects += normalized(table.path, table.regions.boxes[table.rows])
        if images and sets == training:
            counts = table.counts(max_words)
            defects += nothing_to_learn(table.path, counts, int(known.sum()), max_words, min_count)
        defects += table.defects(max_words, known)
    listed = [
        Listed(reading.root / reading.images[number], (reading.sizes or {}).get(number), reading.root / IMAGES)
        for number in images
        if number in reading.images
    ]
    return Survey(listed, defects)


def _known_words(regions: Regions, training: Sequence[int], max_words: int, min_count: int) -> NDArray[np.bool_]:
    """Return which words of the lexicon are in the vocabulary of the training images, bool (L,).

    Unlike in packing, words of regions with an unusable box count: the sizes of the images may be unknown.
    """
    table = RegionTable(Path(), regions, training, {})
    short = table.lengths <= max_words
    words = regions.words[expand(regions.word_offsets[table.rows[short]], table.lengths[short])]
    common: NDArray[np.bool_] = np.bincount(words, minlength=len(regions.lexicon)) >= min_count
    return common
