"""The XML files of folders of any names, behind the same methods as those of a VOCdevkit."""

from functools import cached_property
from pathlib import Path

from datamodules.defects import Defect, Report, stop
from datamodules.loading.decode import check_size, image_size
from datamodules.loading.packed import cache_folder
from datamodules.loading.picture_folders import Looked, look_at
from datamodules.loading.remembered import Remembered
from datamodules.voc.files import XMLReading, read_xml, relative_name
from datamodules.voc.own.classes import Classes, Listed, annotated_classes, listed_classes, readable_classes
from datamodules.voc.own.files import Item, OwnFiles, xml_id
from datamodules.voc.own.layout import OwnLayout
from datamodules.voc.own.start import OwnStart
from datamodules.voc.packed_voc import ImageRecord


class OwnBoxes(OwnStart):
    """The images of an own layout and their XML files; ``remembered`` as in the base class.

    Args:
        layout: Where the XML files and pictures lie.
        classes: The names of the classes, or their file; None takes them from the annotations if no file lists them.
        first_pixel: See :class:`XMLReading`.
        upright: See :class:`XMLReading`.

    Attributes:
        surveyed: Whether the classes are those of the usable XML files alone, for a survey that lists the others.
    """

    def __init__(
        self, layout: OwnLayout, classes: Classes, first_pixel: int, upright: bool, remembered: Remembered
    ) -> None:
        super().__init__(layout, OwnFiles(layout, xml_id), remembered)
        self.root, self._classes, self.first_pixel, self.upright = layout.root, classes, first_pixel, upright
        self.surveyed = False

    @cached_property
    def listed(self) -> Listed | None:
        """The list of the classes; None without one."""
        return listed_classes(self.root, self._classes, "Main")

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of labels 1..C."""
        if self.listed:
            return self.listed.names
        folders = list(dict.fromkeys(part.labels for part in self.layout.parts.values()))
        if self.surveyed:
            return readable_classes([file for folder in folders for file in self.files.labels(folder).values()])

        def look() -> tuple[tuple[str, ...], Looked]:
            files = [file for folder in folders for file in self.files.labels(folder).values()]
            looked = look_at((), files, "classes", self.root.resolve())
            return annotated_classes(self.root, files, looked.key), looked

        facts = "voc classes", self.root.resolve(), folders
        return tuple(self._remembered.recall(cache_folder(self.root), facts, folders, look))

    @cached_property
    def reading(self) -> XMLReading:
        """The way in which the XML files are read."""
        file = self.listed.file if self.listed else None
        return XMLReading(self.class_names, str(file or "data.classes"), self.first_pixel, True, self.upright)

    def items(self, split: str, report: Report = stop) -> list[Item]:
        """Return the images of a split; see :meth:`OwnFiles.items`."""
        return self.files.items(split, report)

    def described(self) -> tuple[object, ...]:
        """Return the classes and the first pixel."""
        return "voc", self.class_names, self.first_pixel

    def looked_at(self, split: str) -> tuple[list[str], list[str]]:
        """Return the paths of the pictures and of the XML files of a split."""
        items = self.items(split)
        pictures = [path for folder in dict.fromkeys(item.pictures for item in items) for path in folder.paths]
        return pictures, [item.file for item in items]

    def record(self, item: Item) -> ImageRecord:
        """Read the annotation of an image, and compare its size with that in the image's header.

        Raises:
            UserError: If a file is unusable.
        """
        record = self.annotation(item)
        path = self.root / record.name
        check_size(path, image_size(path, item.label, upright=self.upright), record.size, self.upright)
        return record

    def annotation(self, item: Item) -> ImageRecord:
        """Read only the annotation of an image; a listed image without one has no objects.

        Raises:
            UserError: If a file is unusable.
        """
        if item.label.is_file():
            return read_xml(self.root, item.label, item.picture, self.reading)
        picture = item.picture()
        remark = "no file, so the image counts as one without objects"
        return ImageRecord(
            relative_name(picture, self.root),
            image_size(picture, item.label, upright=self.upright),
            [],
            [],
            [],
            (remark,),
        )

    def sources(self, item: Item) -> tuple[Path, Path]:
        """Return the picture and the XML file of an image; the picture need not be the one that the XML names."""
        return item.pictures.folder / item.pictures.by_id.get(item.id, [f"{item.id}.jpg"])[0], item.label

    def notes(self, split: str) -> list[Defect]:
        """Return notes about the classes and about pictures without annotation."""
        notes = list(self.listed.notes) if self.listed else [self._sorted_classes()]
        part = self.layout.parts.get(split)
        if part and (alone := self.files.alone(split)) and not (part.divided and split != "train"):
            what = f"has {len(alone)} pictures without an XML file, which are left out ({alone[0]}, ...)"
            notes.append(Defect(self.files.pictures(part).folder, what, "picture without annotation", note=True))
        return notes

    def _sorted_classes(self) -> Defect:
        names = ", ".join(self.class_names)
        what = f"has no list of the classes, so they are those of the annotations, sorted: {names}"
        return Defect(self.root, what, "classes of the annotations", note=True)
