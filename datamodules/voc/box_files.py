"""The XML files of a VOCdevkit."""

from pathlib import Path

from datamodules.defects import Defect, Report, stop
from datamodules.loading.packed import source_key
from datamodules.voc.files import annotation_file, image_file, read_annotation, read_image_record
from datamodules.voc.packed_voc import ImageRecord
from datamodules.voc.source import VOCSource

Item = tuple[str, str]
"""(``VOC<year>``, image id)."""


class OfficialBoxes:
    """The images of a VOCdevkit and their XML files.

    Args:
        voc: The VOCdevkit.
        upright: Whether images are turned as their EXIF orientation says.
    """

    def __init__(self, voc: VOCSource, upright: bool) -> None:
        self.voc, self.root, self.upright = voc, voc.root, upright

    def items(self, split: str, report: Report = stop) -> list[Item]:
        """Return the images of a split; see :meth:`VOCSource.images`."""
        return self.voc.images(split, report)

    def key(self, split: str, *facts: object) -> str | None:
        """Return the key of a split's packed annotations, which depend on further facts; None without images."""
        if not (items := self.items(split)):
            return None
        files = (file for item in items for file in reversed(self.sources(item)))
        return source_key(self.root, files, self.voc.class_names, self.root.resolve(), *facts)

    def record(self, item: Item) -> ImageRecord:
        """Read the annotation of an image and check the image; see :func:`read_image_record`."""
        return read_image_record(self.root, *item, self.voc.class_names, self.upright)

    def annotation(self, item: Item) -> ImageRecord:
        """Read only the annotation of an image; see :func:`read_annotation`."""
        return read_annotation(self.root, *item, self.voc.class_names, self.upright)

    def sources(self, item: Item) -> tuple[Path, Path]:
        """Return the picture and the XML file of an image."""
        return image_file(self.root, *item), annotation_file(self.root, *item)

    def notes(self, split: str) -> list[Defect]:
        """Return the notes about lines of the lists that are no class or no image."""
        return self.voc.notes()
