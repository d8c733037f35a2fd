"""Pascal VOC detection (Everingham et al. 2010, 2015; the development kits of VOC2007 and VOC2012)."""

from collections.abc import Iterator, Sequence

import albumentations as A
from tqdm import tqdm

from datamodules.augmentation.presets import Preset, make_augmentation
from datamodules.boxes.datamodule import BoxDataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.boxes.proposals import Proposals
from datamodules.defects import Defect, Listed, Survey, box_defects
from datamodules.loading.packed import cache_folder, source_key
from datamodules.shapes.settings import Shapes
from datamodules.voc.files import annotation_file, image_file, read_annotation, read_image_record
from datamodules.voc.packed_voc import ImageRecord, PackedAnnotations, open_annotations
from datamodules.voc.source import Source, VOCSource
from lit_cv.errors import UserError


class VOCDetectionDataModule(BoxDataModule[PackedAnnotations]):
    """Boxes of Pascal VOC in its official layout.

    Boxes are (xmin - 1, ymin - 1, xmax, ymax): the official coordinates count pixels from 1 and include both ends, so
    that widths here are those of the development kit, xmax - xmin + 1.

    Args:
        root: Folder that holds ``VOCdevkit`` (or that folder itself).
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small VOCdevkit of shapes (VOC2012 only) if there is none.
        train_sets: Image lists to train on, ``<year>_<list>``: ``[2007_trainval, 2012_trainval]`` is 07+12.
        val_sets: Image lists to validate on.
        test_sets: Image lists to test on; null for none.
        batch_size: Images of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        augmentation: ``none``, ``flip``, ``ssd`` or a list of albumentations transforms; see :func:`make_augmentation`.
        difficult: Whether to train on objects flagged as difficult. Evaluation always keeps and flags them.
        shuffle_targets: A control without any signal: each training image gets the target of another one.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        shapes: What ``source: shapes`` generates.
        proposals: What is attached to the targets as ``proposals``, computed by ``litcv proposals`` or before the first
            run; null for none.
    """

    def __init__(
        self,
        root: str,
        source: Source = "local",
        train_sets: Sequence[str] = ("2012_train",),
        val_sets: Sequence[str] = ("2012_val",),
        test_sets: Sequence[str] | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        augmentation: Preset | list[A.BasicTransform] = "flip",
        difficult: bool = False,
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
        proposals: Proposals | None = None,
    ) -> None:
        self.voc = VOCSource(root, source, shapes, "Main", train_sets, val_sets, test_sets)
        super().__init__(str(self.voc.root), batch_size, num_workers, shuffle_targets, seed, proposals)
        self.augmentation, self.difficult = augmentation, difficult

    @property
    def class_names(self) -> tuple[str, ...]:
        """The 20 official names, or those of ``VOCdevkit/classes.txt`` where there is one."""
        return self.voc.class_names

    def fetch(self) -> None:
        """Download or generate what is missing, as ``source`` says."""
        self.voc.fetch()

    def open_split(self, split: str) -> PackedAnnotations | None:
        """The annotations of ``train``, ``val`` or ``test``, packed on the first call; None if no set is named.

        Raises:
            UserError: If the root, a list, an annotation or an image is missing or unusable.
        """
        images, names = self.voc.images(split), self.class_names
        if not images:
            return None

        def records() -> Iterator[ImageRecord]:
            for year, image in tqdm(images, desc=f"Checking the {split} images", unit="image", delay=2):
                yield read_image_record(self.root, year, image, names)

        folders = [(self.voc.devkit / year, image) for year, image in images]
        pairs = ((f / "Annotations" / f"{image}.xml", f / "JPEGImages" / f"{image}.jpg") for f, image in folders)
        key = source_key(self.root, (file for pair in pairs for file in pair), names, self.root.resolve())
        return open_annotations(cache_folder(self.root), key, records, names)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each annotation file is read by itself."""
        listed, defects = self.voc.survey(split)
        images = []
        for year, image in tqdm(listed, desc=f"Reading the {split} annotations", unit="image", delay=2):
            file = annotation_file(self.root, year, image)
            size = None
            try:
                record = read_annotation(self.root, year, image, self.class_names)
                size = record.size
                names = [f"object {k} ({self.class_names[label - 1]})" for k, label in enumerate(record.labels, 1)]
                defects += box_defects(file, names.__getitem__, record.boxes, record.size)
            except UserError as error:
                defects.append(Defect.of(error, file, "unusable annotation"))
            images.append(Listed(image_file(self.root, year, image), size, file))
        return Survey(images, defects)

    def dataset(self, packed: PackedAnnotations, training: bool) -> DetectionDataset:
        """The samples of a split."""
        proposals = self.attached(packed)
        if not training:
            return DetectionDataset(self.root, packed, proposals=proposals)
        augmentation, partners = make_augmentation(self.augmentation), self.partners(packed)
        return DetectionDataset(self.root, packed, augmentation, self.seed, self.difficult, partners, proposals)
