"""The rules of Visual Genome's files, each written once.

Packing stops at the first defect of lists and images, and drops or counts flawed regions; ``litcv doctor`` lists all.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import clip_boxes
from datamodules.defects import Defect, Finding, Report, box_defects, found_defects, looks_normalized, repeated, stop
from datamodules.visual_genome.files import IMAGES, REGIONS, Regions, list_file, read_set
from datamodules.visual_genome.near_duplicates import near_duplicates
from datamodules.visual_genome.packed_regions import count_known, expand, in_words, left_out, phrase_flaws
from lit_cv.errors import UserError

Rows = NDArray[np.int64]


def list_images(root: Path, sets: Sequence[str], described: Iterable[int], report: Report = stop) -> list[int]:
    """Return the ids of the images in sets, each once.

    Args:
        root: Folder that holds the lists.
        sets: Names of the sets.
        described: Ids of all images that have region descriptions.
        report: Receives a defect for each list that is missing or unusable, and for each image that occurs again.
    """
    images: dict[int, None] = {}
    for name in sets:
        path = list_file(root, name)
        try:
            ids = read_set(root, name, described)
        except UserError as error:
            report(Defect.of(error, path, "unusable image list"))
            continue
        for number in ids:
            if number in images:
                report(
                    Defect(path, f"names image {number} a second time: remove it, or choose other sets", "duplicate id")
                )
            images[number] = None
    return list(images)


def image_errors(
    root: Path,
    sets: Sequence[str],
    images: Sequence[int],
    described: Container[int] | None,
    sizes: Container[int] | None,
    files: Container[int] | None,
) -> Iterator[Defect]:
    """Yield the images without regions, size or file.

    Args:
        root: Folder that holds the files.
        sets: Names of the sets that list the images.
        images: Ids of the images.
        described: Images with regions; None if the file is unusable, which is a defect of its own.
        sizes: Images with a size; None likewise.
        files: Images with a file; None if there is none at all.
    """
    paths = " or ".join(dict.fromkeys(str(list_file(root, name)) for name in sets))
    for known, file, what in ((described, REGIONS, "regions"), (sizes, IMAGES, "size"), (files, "", "file")):
        for number in images:
            if known is not None and number not in known:
                text = f"lacks the {what} of image {number}, which {paths} names: fetch it again, or fix the list"
                yield Defect(root / file, text, f"image without {what}")


def nothing_to_learn(
    path: Path, counts: Mapping[str, int], words: int, max_words: int, min_count: int
) -> Iterator[Defect]:
    """Yield a defect if the training sets leave no region, or no word for the vocabulary.

    Args:
        path: The file of the regions.
        counts: Numbers of kept ``regions``, and of those ``dropped``, ``long`` and ``wordless``.
        words: Number of words in the vocabulary, without the special ones.
        max_words: The setting.
        min_count: The setting.
    """
    if not counts["regions"]:
        reasons = left_out(counts, max_words)
        what = (
            f"leaves no region to train on: of {sum(reasons.values())} regions, {in_words(reasons)}; fix them"
            if reasons
            else ("has no region of the training sets, so there is nothing to train on: choose other sets")
        )
        yield Defect(path, what, "nothing to train on")
    elif not words:
        what = f"has no word that occurs min_count={min_count} times in the training phrases: lower min_count"
        yield Defect(path, what, "nothing to train on")


def normalized(path: Path, boxes: NDArray[np.float32]) -> Iterator[Defect]:
    """Yield a defect if the boxes (M, 4) are shares of the image, not pixels."""
    if looks_normalized(boxes):
        what = (
            "has boxes that all lie within one pixel, so the coordinates are shares of the image, not pixels: multiply "
            "them by the width and height"
        )
        yield Defect(path, what, "normalized coordinates")


class RegionTable:
    """The regions of some images, with the rules that they must follow.

    Args:
        path: The file of the regions.
        regions: Its content.
        images: Ids of the images; those without regions are ignored.
        sizes: Width and height of each image; boxes of images without a size are not checked.
    """

    def __init__(self, path: Path, regions: Regions, images: Sequence[int], sizes: dict[int, tuple[int, int]]) -> None:
        self.path, self.regions = path, regions
        places = {number: place for place, number in enumerate(regions.image_ids.tolist())}
        members = np.array([places[number] for number in images if number in places], dtype=np.int64)
        counts = np.diff(regions.offsets)[members]
        self.rows = expand(regions.offsets[members], counts)
        self.owners = np.repeat(regions.image_ids[members], counts)
        self.numbers = expand(np.ones_like(counts), counts)
        known = np.array([sizes.get(number, (-1, -1)) for number in images if number in places]).reshape(-1, 2)
        self.sizes = np.repeat(known, counts, axis=0)
        self.lengths = regions.word_offsets[self.rows + 1] - regions.word_offsets[self.rows]

    def name(self, place: int) -> str:
        """Return the name of a region in sentences."""
        number = self.regions.ids[self.rows[place]]
        which = number if number >= 0 else f"at place {self.numbers[place]}"
        return f"region {which} of image {self.owners[place]}"

    def counts(self, max_words: int) -> dict[str, int]:
        """Return the numbers of kept regions and of those left out, as packing counts them."""
        _, inside = clip_boxes(self.regions.boxes[self.rows], np.where(self.sizes < 0, np.inf, self.sizes))
        wordless, long = phrase_flaws(self.lengths, max_words)
        return {
            "regions": int((inside & ~wordless & ~long).sum()),
            "dropped": int((~inside).sum()),
            "long": int((inside & long).sum()),
            "wordless": int((inside & wordless).sum()),
        }

    def defects(self, max_words: int, known: NDArray[np.bool_]) -> Iterator[Defect]:
        """Yield the flawed regions.

        Args:
            max_words: Regions with more words are dropped.
            known: bool (L,), whether each word of the lexicon is in the vocabulary.
        """
        sized = np.flatnonzero(self.sizes[:, 0] > 0)
        boxes = self.regions.boxes[self.rows[sized]]
        yield from box_defects(self.path, lambda place: self.name(sized[place]), boxes, self.sizes[sized])
        yield from found_defects(self.path, self.name, self._findings(max_words, known))

    def _findings(self, max_words: int, known: NDArray[np.bool_]) -> Iterator[Finding]:
        regions, rows, lengths = self.regions, self.rows, self.lengths
        wordless, long = phrase_flaws(lengths, max_words)
        again = (repeated(regions.ids) & (regions.ids >= 0))[rows]
        unknown = ~wordless & ~long & (count_known(regions.words, regions.word_offsets, known)[rows] == 0)
        twins = near_duplicates(regions, rows, self.owners)
        yield Finding(regions.ids[rows] < 0, "missing region id", lambda _: "has no id: add it")
        yield Finding(again, "duplicate id", lambda _: "has the id of another region: fix it")
        yield Finding(
            wordless, "empty phrase", lambda _: "has a phrase without a word and is dropped: fix or remove it"
        )
        yield Finding(
            long,
            "long phrase",
            lambda place: f"has {lengths[place]} words, more than max_words={max_words}, and is dropped: shorten it",
            note=True,
        )
        yield Finding(
            unknown,
            "phrase without a known word",
            lambda _: "has no word of the vocabulary: fix it or lower min_count",
            note=True,
        )
        yield Finding(
            twins >= 0,
            "near-duplicate",
            lambda place: f"has nearly the same phrase and box as {self.name(twins[place])}: remove one of them",
            note=True,
        )
