"""Boxes and polygons in YOLO's text form, as Ultralytics, Roboflow, CVAT and Label Studio write it."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.boxes.class_gaps import class_gaps
from datamodules.boxes.datamodule import BoxDataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.boxes.packed_boxes import clip_boxes
from datamodules.coco.dataset import InstanceDataset
from datamodules.coco.packed_coco import PackedCOCO
from datamodules.defects import ROUNDING, Defect, Listed, Report, Survey, box_defects, stop
from datamodules.loading.packed import Content, cache_folder, open_packed
from datamodules.loading.picture_folders import Looked, look_at, relative_to
from datamodules.splits import Split, split_names
from datamodules.yolo.description import Description, read_description
from datamodules.yolo.objects import objects_of
from datamodules.yolo.packing import Read, pack_labels, read_labels
from datamodules.yolo.pictures import Labeled, folders_of, labels_alone, list_pictures
from lit_cv.errors import UserError


class YOLODetectionDataModule(BoxDataModule[PackedCOCO]):
    """Boxes in YOLO's form: a ``data.yaml``, pictures, and a text file of labels for each picture.

    A line ``class x y w h`` is a box, by its center and size as shares of the image; a line ``class x1 y1 x2 y2 ...``
    is a polygon, of which the smallest box around it is taken. Boxes are those of whole pixels where the text cannot
    tell the difference, see :func:`datamodules.yolo.objects.whole_pixels`. A picture without a label file, or with an
    empty one, has no objects.

    Args:
        root: Folder of the data set.
        file: The file that names the classes and the pictures of each split, relative to ``root``.
        split: Divides the training pictures where the file names none for validation; null takes the default shares.
        options: Those of :class:`BoxDataModule`; ``source`` is ``local``.
    """

    own_files = True
    trained_on = "the training pictures"

    def __init__(
        self, root: str, *args: Any, file: str = "data.yaml", split: Split | None = None, **options: Any
    ) -> None:
        super().__init__(root, *args, **options)
        if self.source != "local":
            raise UserError(f"data.source={self.source} is for official layouts: leave it out for data in YOLO's form.")
        self.file, self._split_setting = file, split
        self._opened_splits: dict[str, PackedCOCO | None] = {}
        self._parts: dict[str, list[Labeled]] | None = None

    @cached_property
    def description(self) -> Description:
        """The content of the data.yaml.

        Raises:
            UserError: If it is missing or unusable, or names other splits although ``split`` divides them.
        """
        found = read_description(self.root, self.file)
        shares = {"val": 1.0, "test": self._split_setting.test} if self._split_setting else {}
        others = [split for split, share in shares.items() if share and found.places[split]]
        if others:
            raise UserError(f"{found.file} names pictures for {' and '.join(others)}: leave data.split out.")
        return found

    @property
    def split(self) -> Split | None:
        """The division of the training pictures; None if the data.yaml names pictures for validation."""
        return None if self.description.places["val"] else self._split_setting or Split()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names in the data.yaml, in its order."""
        return self.description.names

    def images(self, split: str, report: Report = stop) -> list[Labeled]:
        """Return the pictures of a split and their label files.

        Raises:
            UserError: If a folder or list is missing or holds no picture.
        """
        if self._is_part(split):
            return self._divided(report)[split]
        return list_pictures(self.description, split, report)

    def _is_part(self, split: str) -> bool:
        """Return whether a split is a part of the training pictures."""
        return self.split is not None and (split == "train" or not self.description.places[split])

    def _divided(self, report: Report) -> dict[str, list[Labeled]]:
        """Return the parts of the training pictures."""
        if self._parts is None:
            every = {
                relative_to(image.picture, self.root): image
                for image in list_pictures(self.description, "train", report)
            }
            parts = split_names(list(every), self.split or Split())
            self._parts = {split: [every[name] for name in names] for split, names in parts.items()}
        return self._parts

    def open_split(self, split: str) -> PackedCOCO | None:
        """Return the objects of a split, packed on the first call; None if the data.yaml names no pictures for it.

        Raises:
            UserError: If a file is missing or unusable.
        """
        if split not in self._opened_splits:
            self._opened_splits[split] = self._open(split)
        return self._opened_splits[split]

    def _open(self, split: str) -> PackedCOCO | None:
        key = self._key(split)
        if key is None:
            return None

        def build() -> Content:
            images = self.images(split)
            content = pack_labels(self.root, images, self.class_names, self.masks, self.reading.upright)
            return content._replace(notes=(*self._labels_alone(split, images), *content.notes))

        packed = open_packed(PackedCOCO, cache_folder(self.root), key, build)
        if self.masks and packed.counts["without_mask"] and not packed.counts["boxes"]:
            raise UserError(
                f"{self.description.file}: the {split} labels are boxes, none is a polygon, so objects have no masks: "
                "use datamodules.YOLODetectionDataModule."
            )
        return packed

    def _key(self, split: str) -> str | None:
        """Return the key of a split's labels, that of the last start if no folder has changed; None without any."""
        facts = "yolo", self.class_names, self.root.resolve(), self.masks, *self.reading_facts

        def look() -> tuple[str | None, Looked]:
            images = self.images(split)
            looked = look_at([image.picture for image in images], [image.labels for image in images], *facts)
            return looked.key if images else None, looked

        folders = folders_of(self.description, "train" if self._is_part(split) else split)
        if folders is None:
            return look()[0]
        key: str | None = self.remembered.recall(
            cache_folder(self.root), (split, self.split, folders, *facts), folders, look
        )
        return key

    def _labels_alone(self, split: str, images: list[Labeled]) -> list[str]:
        if self.split is not None:
            images = list_pictures(self.description, "train") if split == "train" else []
        alone = labels_alone(self.description, split, images)
        return [f"{len(alone)} label files have no picture and are left out ({alone[0]}, ...)."] if alone else []

    def remarks(self) -> list[str]:
        """Return those of :class:`DataModule`, and sentences about paths, shared pictures and classes."""
        divided = ", ".join(f"{len(packed)} {split}" for split, packed in self.splits.items())
        return [
            *super().remarks(),
            *self.description.notes,
            *(
                [f"{self.description.file} names no val: its pictures are divided into {divided} ({self.split})."]
                if self.split
                else []
            ),
            *self._shared_pictures(),
            *class_gaps(self.splits, self.class_names, self.split is not None),
        ]

    def _shared_pictures(self) -> list[str]:
        held = {split: set(packed.names.tolist()) for split, packed in self.splits.items()}
        trained = held.get("train", set())
        shared = {split: len(names & trained) for split, names in held.items() if split != "train"}
        return [
            f"{self.description.file}: {count} of {len(held[split])} pictures of {split} are trained on as well, so "
            f"its metrics say nothing about new pictures: name others for {split}."
            for split, count in shared.items()
            if count
        ]

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each line of the label files is checked by itself."""
        defects: list[Defect] = []
        try:
            images, names = self.images(split, defects.append), self.class_names
        except UserError as error:
            return Survey([], [*defects, Defect.of(error, self.root / self.file, "unusable description")])
        read = read_labels(images, names, defects.append, self.reading.upright)
        defects += _box_defects(images, read, names)
        for places, what in ((read.missing, "is missing"), (read.empty, "is empty")):
            for place in places:
                note = f"{what}, so {images[place].picture} has no objects"
                defects.append(Defect(Path(images[place].labels), note, "picture without labels", note=True))
        found = [
            Listed(Path(image.picture), (int(size[0]), int(size[1])) if size.all() else None, Path(image.labels))
            for image, size in zip(images, read.sizes, strict=True)
        ]
        return Survey(found, defects)


class YOLOInstanceDataModule(YOLODetectionDataModule):
    """Boxes and masks in YOLO's form; the masks are the polygons of the label files.

    Targets are those of :class:`COCOInstanceDataModule`. Objects that are boxes, without a polygon, are dropped and
    counted.

    Args:
        options: Those of :class:`YOLODetectionDataModule` except ``proposals``.
    """

    masks = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, proposals=None, **options)

    def dataset(self, packed: PackedCOCO, training: bool) -> DetectionDataset:
        """Return the samples of a split."""
        options = self.sampling(packed, training)
        return InstanceDataset(self.root, packed, masks=True, mirrored=np.zeros(0, dtype=np.int64), **options)


def _box_defects(images: Sequence[Labeled], read: Read, names: Sequence[str]) -> Iterator[Defect]:
    """Yield the boxes without an area within their picture, and those that reach outside."""
    corners = objects_of(read.lines, read.sizes).corners
    sizes = read.sizes[read.lines.images]
    clipped, solid = clip_boxes(corners, sizes)
    moved = (np.abs(clipped - corners) > ROUNDING).any(axis=1)
    for row in np.flatnonzero((moved | ~solid) & sizes.all(axis=1)).tolist():
        subject = f"line {read.lines.numbers[row]} ({names[read.lines.classes[row]]})"
        file = Path(images[read.lines.images[row]].labels)
        yield from box_defects(file, [subject].__getitem__, corners[row], sizes[row])
