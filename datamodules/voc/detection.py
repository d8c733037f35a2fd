"""Pascal VOC detection (Everingham et al. 2010, 2015; the development kits of VOC2007 and VOC2012)."""

from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from datamodules.boxes.class_gaps import class_gaps
from datamodules.boxes.datamodule import BoxDataModule
from datamodules.defects import Defect, Listed, Survey, box_defects
from datamodules.loading.packed import cache_folder
from datamodules.voc.box_files import OfficialBoxes
from datamodules.voc.datamodule import VOCDataModule
from datamodules.voc.own.boxes import OwnBoxes
from datamodules.voc.packed_voc import ImageRecord, PackedAnnotations, open_annotations, refuse_fractions
from lit_cv.errors import UserError


class VOCDetectionDataModule(VOCDataModule[PackedAnnotations], BoxDataModule[PackedAnnotations]):
    """Boxes of Pascal VOC in its official layout, or in folders of your own.

    Boxes are (xmin - 1, ymin - 1, xmax, ymax): the official coordinates count pixels from 1 and include both ends.
    Therefore widths equal those of the development kit, xmax - xmin + 1.

    Args:
        difficult: Whether to train on objects that are flagged as difficult. Evaluation always keeps and flags them.
        annotations: Folder of the XML files, relative to ``root``, in place of the official layout, or one for each of
            ``train``, ``val`` and ``test``. Null is the folder of the pictures, if another setting names own folders.
        first_pixel: Number of the first pixel in own XML files: 1 as in the official ones, or 0 for tools such as CVAT
            that write corners as they are: (xmin, ymin, xmax, ymax).
        options: Those of :class:`VOCDataModule` and :class:`BoxDataModule`.
    """

    def __init__(
        self,
        *args: Any,
        difficult: bool = False,
        annotations: str | dict[str, str | None] | None = None,
        first_pixel: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        if first_pixel not in (0, 1):
            raise UserError(f"data.first_pixel is {first_pixel}: give 0 or 1.")
        self.difficult = difficult
        self._choose_layout("annotations", annotations, {"first_pixel": first_pixel == 0})
        self.files: OwnBoxes | OfficialBoxes = OfficialBoxes(self.voc, self.reading.upright)
        if self.own:
            self.files = OwnBoxes(self.own, self.classes, first_pixel, self.reading.upright, self.remembered)
            self.trained_on = "the training images"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The listed names; of your own annotations without a list, those in them, sorted."""
        return self.files.class_names if isinstance(self.files, OwnBoxes) else super().class_names

    def remarks(self) -> list[str]:
        """Return those of :class:`VOCDataModule`; for your own folders also about classes and missing files."""
        if not isinstance(self.files, OwnBoxes):
            return super().remarks()
        files = self.files
        notes = [note for split in self.splits for note in files.told(split, *self.reading_facts)]
        gaps = class_gaps(self.splits, self.class_names, self.files.layout.split is not None)
        return [*super().remarks(), *dict.fromkeys(notes), *gaps]

    def open_split(self, split: str) -> PackedAnnotations | None:
        """Return the annotations of a split, packed on the first call; None if nothing is named for it.

        Raises:
            UserError: If the root, a list, an annotation or an image is missing or unusable.
        """
        key = self.files.key(split, *self.reading_facts)
        if key is None:
            return None

        def records() -> Iterator[ImageRecord]:
            self.remembered.confirm()  # the names of the classes
            images: list[Any] = self.files.items(split)
            for image in tqdm(images, desc=f"Checking the {split} images", unit="image", delay=2):
                yield self.files.record(image)

        return open_annotations(cache_folder(self.root), key, records, self.class_names)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each annotation file is checked by itself."""
        images, defects, records = [], list[Defect](), list[ImageRecord]()
        if isinstance(self.files, OwnBoxes):
            self.files.surveyed = True
        try:
            defects += self.files.notes(split)
            listed: list[Any] = self.files.items(split, defects.append)
        except UserError as error:
            if self.own is None:
                raise
            return Survey([], [Defect.of(error, self.root, "unusable folders")])
        for image in tqdm(listed, desc=f"Reading the {split} annotations", unit="image", delay=2):
            picture, file = self.files.sources(image)
            size = None
            try:
                record = self.files.annotation(image)
                size, picture = record.size, self.root / record.name
                records.append(record)
                defects += [
                    Defect(file, f"has {remark}", "incomplete annotation", note=True) for remark in record.remarks
                ]
                names = [f"object {k} ({self.class_names[label - 1]})" for k, label in enumerate(record.labels, 1)]
                defects += box_defects(file, names.__getitem__, record.boxes, record.size)
            except UserError as error:
                defects.append(Defect.of(error, file, "unusable annotation"))
            images.append(Listed(picture, size, file))
        flags = [flag for record in records for flag in record.difficult]
        if split == "train" and images and not any(self.difficult or not flag for flag in flags):
            what = f"has no object to train on in {self.trained_on}: annotate some, or choose other sets"
            defects.append(Defect(self.root, what, "nothing to train on"))
        try:
            refuse_fractions(records)
        except UserError as error:
            defects.append(Defect.of(error, self.root, "boxes are no pixels"))
        return Survey(images, defects)
