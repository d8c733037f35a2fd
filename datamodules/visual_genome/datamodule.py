"""Visual Genome's region descriptions (Krishna et al. 2017), as dense captioning uses them (Johnson et al. 2016)."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from datamodules.defects import Survey, stop_at
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
from datamodules.visual_genome.checks import image_errors, list_images, normalized, nothing_to_learn
from datamodules.visual_genome.defects import Reading, read_all, survey_regions
from datamodules.visual_genome.files import FOLDERS, IMAGES, REGIONS, find_images, list_file, read_regions, read_sizes
from datamodules.visual_genome.generated import write_visual_genome
from datamodules.visual_genome.packed_regions import PackedRegions, ParsedRegions, expand, pack_regions, to_lines
from datamodules.visual_genome.regions import RegionDataModule
from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import SPECIAL, Vocabulary


class VisualGenomeDataModule(RegionDataModule):
    """Images with boxes and a phrase for each box, in the layout of Visual Genome v1.0, v1.2 or v1.4.

    Words and vocabulary are DenseCap's: lower case without punctuation (``words_of``); words that occur fewer than
    ``min_count`` times in the training phrases become ``<UNK>``. Its paper also removes openings such as "there is";
    its released code and this class do not. Near-duplicates stay: the metric merges their boxes. Coordinates count from
    0. Boxes are clipped to their image. Regions without area, without a word, or with more than ``max_words`` are
    dropped. Phrases without any known word stay, as ``<UNK>`` only. All of these are counted. Packing checks that the
    images exist; reading checks that they are complete and of the listed size.

    ``region_descriptions.json`` is parsed once, as a stream. No augmentation mirrors or moves the image, because
    phrases contain "left" and "behind".

    Args:
        root: Folder that holds ``region_descriptions.json``, ``image_data.json``, and the images in ``VG_100K`` and
            ``VG_100K_2``.
        source: ``local``: the files are there; ``shapes``: generate a small data set of shapes in the same layout, with
            lists named as DenseCap's, if there is none.
        train_sets: Image sets to train on and to build the vocabulary from: ``densecap_train``, ``densecap_val`` or
            ``densecap_test`` of ``<root>/densecap_splits.json``; ``all`` images with regions; or ``<list>``:
            ``<root>/<list>.txt`` with one image id per line.
        val_sets: Image sets to validate on.
        test_sets: Image sets to test on; null for none.
        options: Those of :class:`RegionDataModule`.
    """

    def __init__(
        self,
        root: str,
        source: Literal["local", "shapes"] = "local",
        *,
        train_sets: Sequence[str] = ("densecap_train",),
        val_sets: Sequence[str] = ("densecap_val",),
        test_sets: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, source, **options)
        self.sets = {"train": list(train_sets), "val": list(val_sets), "test": list(test_sets or ())}
        self._reading: Reading | None = None
        if not self.sets["train"]:
            raise UserError("train_sets is empty: name a set, because the vocabulary is built from its phrases.")

    def fetch(self) -> None:
        """Generate missing files if ``source`` says so."""
        if self.source == "shapes":
            write_visual_genome(self.root, self.shapes)

    def open_split(self, split: str) -> PackedRegions | None:
        """Return the regions of a split, packed on the first call; None if no set is named.

        Raises:
            UserError: If a file, an image, or an entry of a list is missing or unusable, or there is nothing to train
                on.
        """
        if not self.sets[split]:
            return None
        if not (self.root / REGIONS).is_file():
            raise UserError(f"{self.root / REGIONS} is missing: set data.root to the folder of Visual Genome's files.")
        lists = [list_file(self.root, name) for name in (*self.sets[split], *self.sets["train"])]
        folders = [folder for folder in (self.root / name for name in FOLDERS) if folder.is_dir()]
        if not folders:
            raise UserError(
                f"{self.root} holds neither VG_100K nor VG_100K_2: set data.root to the folder of the images."
            )
        settings = (self.sets[split], self.sets["train"], self.max_words, self.min_count, self.root.resolve())
        sources = (path for path in (self.root / REGIONS, self.root / IMAGES, *lists, *folders) if path.exists())
        key = source_key(self.root, sources, settings)
        packed = open_packed(PackedRegions, cache_folder(self.root), key, lambda: self._pack(split))
        if split == "train":
            words = len(packed.vocabulary) - len(SPECIAL)
            stop_at(nothing_to_learn(self.root / REGIONS, packed.counts, words, self.max_words, self.min_count))
        return packed

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; the files are read once for all splits."""
        sets = self.sets[split]
        if not sets:
            return Survey([], [])
        if self._reading is None:
            self._reading = read_all(self.root)
        return survey_regions(self._reading, sets, self.sets["train"], self.max_words, self.min_count)

    def _pack(self, split: str) -> Content:
        parsed, sets = self._parse(), self.sets[split]
        ids = list_images(self.root, sets, parsed.places)
        sizes, files = read_sizes(self.root / IMAGES), find_images(self.root)
        stop_at(image_errors(self.root, sets, ids, parsed.places, sizes, files))
        known: Vocabulary | int = self.min_count if split == "train" else self.vocabulary
        table = np.array([sizes[number] for number in ids], dtype=np.int32)
        members = np.array([parsed.places[number] for number in ids], dtype=np.int64)
        rows = expand(parsed.offsets[members], np.diff(parsed.offsets)[members])
        stop_at(normalized(self.root / REGIONS, parsed.boxes[rows]))
        names = [files[number] for number in ids]
        return pack_regions(parsed, members, names, table, self.max_words, known, self.root / REGIONS)

    def _parse(self) -> ParsedRegions:
        path = self.root / REGIONS

        def parse() -> Content:
            found = read_regions(path)
            arrays = {name: getattr(found, name) for name in ("offsets", "boxes", "word_offsets", "words")}
            arrays |= {"names": found.image_ids.astype(np.bytes_), "lexicon": to_lines(found.lexicon)}
            return Content(arrays, {"images": len(found.image_ids), "regions": len(found.boxes)})

        return open_packed(ParsedRegions, cache_folder(self.root), source_key(self.root, [path]), parse)
