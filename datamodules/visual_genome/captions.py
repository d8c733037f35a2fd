"""Boxes with captions in COCO's form."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.checks import folder_errors, image_errors
from datamodules.coco.files import COCOSet
from datamodules.coco.own.layout import OwnLayout
from datamodules.coco.packing import image_names
from datamodules.coco.pictures import Pictures, find_pictures
from datamodules.coco.tables import Images
from datamodules.defects import Defect, Listed, Survey, stop_at
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
from datamodules.splits import Split, split_names
from datamodules.visual_genome.caption_files import read_captions, read_images
from datamodules.visual_genome.checks import RegionTable, normalized, nothing_to_learn
from datamodules.visual_genome.packed_regions import PackedRegions, ParsedRegions, expand, pack_regions, to_lines
from datamodules.visual_genome.regions import RegionDataModule
from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import SPECIAL, UNKNOWN


class COCOCaptionDataModule(RegionDataModule):
    """Images with boxes and a caption for each box, in the form of COCO's captions: ``bbox`` beside ``caption``.

    Files may have any names. Words, vocabulary, targets and the regions that are dropped and counted are those of
    :class:`VisualGenomeDataModule`.

    Args:
        root: Folder of the captions and images.
        annotations: Annotation files, relative to ``root``: one for everything, or one for each of ``train``, ``val``
            and ``test``.
        images: Folder of the images, or one for each split, see :class:`COCODetectionDataModule`.
        split: Divides one file, see :class:`COCODetectionDataModule`.
        options: Those of :class:`RegionDataModule`; ``source`` is ``local``.
    """

    own_files = True

    def __init__(
        self,
        root: str,
        *,
        annotations: str | dict[str, str | None],
        images: str | dict[str, str | None] | None = None,
        split: Split | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.own = OwnLayout(self.root, annotations, images, split)
        if self.source != "local":
            raise UserError(
                f"annotations names files of your own, but source is {self.source}: set data.source to local."
            )
        if "train" not in self.own.files:
            raise UserError("annotations names no file for train: add it, because the vocabulary is built from it.")

    def remarks(self) -> list[str]:
        """See :meth:`DataModule.remarks`; also how one file was divided, and how many words are rare."""
        counts = {name: len(packed) for name, packed in self.splits.items()}
        return [*super().remarks(), *self.own.division(counts), *self._rare_words()]

    def _rare_words(self) -> Iterator[str]:
        packed = self.splits.get("train")
        if packed is not None and (rare := packed.unknown_words):
            yield (
                f"{rare} of {len(packed.words)} words of the training captions occur less than min_count="
                f"{self.min_count} times and are learned as {SPECIAL[UNKNOWN]}: lower min_count to learn them."
            )

    def open_split(self, split: str) -> PackedRegions | None:
        """Return the regions of a split, packed on the first call; None if it has no file.

        Raises:
            UserError: If a file or an image is missing or unusable, or there is nothing to train on.
        """
        source = self._source(split)
        if source is None:
            return None
        stop_at(folder_errors(source))
        train = self.own.files["train"]
        facts = (split, self.own.split, self.max_words, self.min_count, self.root.resolve(), *self.reading_facts)
        key = source_key(self.root, [source.file, source.images, train], *facts)
        packed = open_packed(PackedRegions, cache_folder(self.root), key, lambda: self._pack(split, source))
        if split == "train":
            words = len(packed.vocabulary) - len(SPECIAL)
            stop_at(nothing_to_learn(train, packed.counts, words, self.max_words, self.min_count))
        return packed

    def _source(self, split: str) -> COCOSet | None:
        sets = self.own.sets(split)
        return sets[0]._replace(upright=self.reading.upright) if sets else None

    def _pack(self, split: str, source: COCOSet) -> Content:
        parsed, pictures = self._parse(source.file), find_pictures(source, read_images(source.file))
        stop_at(image_errors(source.file, pictures.images))
        stop_at(normalized(source.file, parsed.boxes))
        members = np.flatnonzero(self._taken(split, pictures.images))
        names = image_names(self.root, source, pictures)
        known = self.min_count if split == "train" else self.vocabulary
        chosen = [names[place] for place in members.tolist()]
        sizes = pictures.images.sizes[members]
        return pack_regions(parsed, members, chosen, sizes, self.max_words, known, source.file)

    def _taken(self, split: str, images: Images) -> NDArray[np.bool_]:
        """Return which images of a file belong to a split, bool (N,)."""
        if split not in self.own.divided or self.own.split is None:
            return np.ones(len(images.names), dtype=np.bool_)
        taken = set(split_names(images.names, self.own.split)[split])
        return np.array([name in taken for name in images.names], dtype=np.bool_)

    def _parse(self, path: Path) -> ParsedRegions:
        def parse() -> Content:
            found = read_captions(path)
            arrays = {name: getattr(found, name) for name in ("offsets", "boxes", "word_offsets", "words")}
            arrays |= {"names": found.image_ids.astype(np.bytes_), "lexicon": to_lines(found.lexicon)}
            return Content(arrays, {"images": len(found.image_ids), "regions": len(found.boxes)})

        key = source_key(self.root, [path], "captions")
        return open_packed(ParsedRegions, cache_folder(self.root), key, parse)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`."""
        try:
            source = self._source(split)
            return self._survey(split, source) if source else Survey([], [])
        except UserError as error:
            return Survey([], [Defect.of(error, self.root, "unusable annotations")])

    def _survey(self, split: str, source: COCOSet) -> Survey:
        defects: list[Defect] = list(folder_errors(source))
        regions = read_captions(source.file, defects.append)
        pictures: Pictures = find_pictures(source, read_images(source.file, defects.append))
        images = pictures.images
        defects += image_errors(source.file, images)
        places = np.flatnonzero(self._taken(split, images)).tolist()
        ids, sizes = images.ids.tolist(), [(int(width), int(height)) for width, height in images.sizes]
        table = RegionTable(source.file, regions, [ids[place] for place in places], dict(zip(ids, sizes, strict=True)))
        counts = table.counts(self.max_words)
        short = table.lengths <= self.max_words
        words = regions.words[expand(regions.word_offsets[table.rows[short]], table.lengths[short])]
        known = np.bincount(words, minlength=len(regions.lexicon)) >= (self.min_count if split == "train" else 1)
        defects += normalized(source.file, regions.boxes[table.rows])
        if split == "train":
            defects += nothing_to_learn(source.file, counts, int(known.sum()), self.max_words, self.min_count)
        defects += table.defects(self.max_words, known)
        listed = [
            Listed(source.images / images.names[place], sizes[place] if min(sizes[place]) > 0 else None, source.file)
            for place in places
        ]
        return Survey(listed, defects)
