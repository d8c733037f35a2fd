"""Pascal VOC detection (Everingham et al. 2010, 2015; the development kits of VOC2007 and VOC2012)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import albumentations as A
from tqdm import tqdm  # type: ignore[import-untyped]

from datamodules import shapes as shapes_writer
from datamodules.base import DetectionDataModule
from datamodules.download import fetch_voc
from datamodules.packed import ImageRecord, PackedAnnotations, cache_folder, open_packed, source_key
from datamodules.shapes import Shapes
from datamodules.transforms import Preset
from datamodules.voc_files import CLASS_NAMES, read_image_record, read_list
from lit_cv.errors import UserError


class VOCDetectionDataModule(DetectionDataModule):
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
    """

    def __init__(
        self,
        root: str,
        source: Literal["local", "download", "shapes"] = "local",
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
    ) -> None:
        super().__init__(root, batch_size, num_workers, augmentation, difficult, shuffle_targets, seed)
        if self.root.name == "VOCdevkit":
            self.root = self.root.parent
        self.source, self.shapes = source, shapes
        self.sets = {"train": list(train_sets), "val": list(val_sets), "test": list(test_sets or ())}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The 20 official names, or those of ``VOCdevkit/classes.txt`` where there is one."""
        if self.source == "shapes":
            return shapes_writer.CLASS_NAMES
        listed = self.root / "VOCdevkit" / "classes.txt"
        return tuple(listed.read_text().split()) if listed.exists() else CLASS_NAMES

    def fetch(self) -> None:
        """Download or generate what is missing, as ``source`` says."""
        if self.source == "download":
            fetch_voc(self.root, [name for sets in self.sets.values() for name in sets])
        elif self.source == "shapes":
            shapes_writer.write_voc(self.root, self.shapes)

    def open_split(self, split: str) -> PackedAnnotations | None:
        """The annotations of ``train``, ``val`` or ``test``, packed on the first call; None if no set is named.

        Raises:
            UserError: If the root, a list, an annotation or an image is missing or unusable.
        """
        if not self.sets[split]:
            return None
        devkit = self.root / "VOCdevkit"
        if not devkit.is_dir():
            raise UserError(f"{self.root} holds no VOCdevkit folder: mend root, or set source to download.")
        images = [image for name in self.sets[split] for image in read_list(devkit, name)]
        if len(set(images)) < len(images):
            raise UserError(f"{split}_sets={self.sets[split]} name an image twice: choose lists without overlap.")
        names = self.class_names

        def records() -> Iterator[ImageRecord]:
            for year, image in tqdm(images, desc=f"Checking the {split} images", unit="image", delay=2):
                yield read_image_record(self.root, year, image, names)

        key = source_key(self.root, _files(devkit, images), names, self.root.resolve())
        return open_packed(cache_folder(self.root), key, records, names)


def _files(devkit: Path, images: list[tuple[str, str]]) -> Iterator[Path]:
    for year, image in images:
        yield devkit / year / "Annotations" / f"{image}.xml"
        yield devkit / year / "JPEGImages" / f"{image}.jpg"
