"""Pascal VOC detection (Everingham et al. 2010, 2015; the development kits of VOC2007 and VOC2012)."""

from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from datamodules.boxes.datamodule import BoxDataModule
from datamodules.defects import Defect, Listed, Survey, box_defects
from datamodules.loading.packed import cache_folder, source_key
from datamodules.voc.datamodule import VOCDataModule
from datamodules.voc.files import annotation_file, image_file, read_annotation, read_image_record
from datamodules.voc.packed_voc import ImageRecord, PackedAnnotations, open_annotations, refuse_fractions
from lit_cv.errors import UserError


class VOCDetectionDataModule(VOCDataModule[PackedAnnotations], BoxDataModule[PackedAnnotations]):
    """Boxes of Pascal VOC in its official layout.

    Boxes are (xmin - 1, ymin - 1, xmax, ymax): the official coordinates count pixels from 1 and include both ends.
    Therefore widths equal those of the development kit, xmax - xmin + 1.

    Args:
        difficult: Whether to train on objects that are flagged as difficult. Evaluation always keeps and flags them.
        options: Those of :class:`VOCDataModule` and :class:`BoxDataModule`.
    """

    def __init__(self, *args: Any, difficult: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.difficult = difficult

    def open_split(self, split: str) -> PackedAnnotations | None:
        """Return the annotations of a split, packed on the first call; None if no list is named.

        Raises:
            UserError: If the root, a list, an annotation or an image is missing or unusable.
        """
        images, names = self.voc.images(split), self.class_names
        if not images:
            return None

        def records() -> Iterator[ImageRecord]:
            for year, image in tqdm(images, desc=f"Checking the {split} images", unit="image", delay=2):
                yield read_image_record(self.root, year, image, names)

        readers = (annotation_file, image_file)
        files = (reader(self.root, year, image) for year, image in images for reader in readers)
        key = source_key(self.root, files, names, self.root.resolve())
        return open_annotations(cache_folder(self.root), key, records, names)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each annotation file is checked by itself."""
        images, defects, records = [], self.voc.notes(), list[ImageRecord]()
        listed = self.voc.images(split, defects.append)
        for year, image in tqdm(listed, desc=f"Reading the {split} annotations", unit="image", delay=2):
            file = annotation_file(self.root, year, image)
            size = None
            try:
                record = read_annotation(self.root, year, image, self.class_names)
                size = record.size
                records.append(record)
                defects += [
                    Defect(file, f"has {remark}", "incomplete annotation", note=True) for remark in record.remarks
                ]
                names = [f"object {k} ({self.class_names[label - 1]})" for k, label in enumerate(record.labels, 1)]
                defects += box_defects(file, names.__getitem__, record.boxes, record.size)
            except UserError as error:
                defects.append(Defect.of(error, file, "unusable annotation"))
            images.append(Listed(image_file(self.root, year, image), size, file))
        flags = [flag for record in records for flag in record.difficult]
        if split == "train" and images and not any(self.difficult or not flag for flag in flags):
            what = "has no object to train on in train_sets: annotate some, or choose other sets"
            defects.append(Defect(self.root, what, "nothing to train on"))
        try:
            refuse_fractions(records)
        except UserError as error:
            defects.append(Defect.of(error, self.root, "boxes are no pixels"))
        return Survey(images, defects)
