"""The masks of folders of any names, their classes, and the meaning of their pixels."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from datamodules.defects import Defect, Report, stop
from datamodules.loading.packed import cache_folder
from datamodules.loading.picture_folders import Looked, look_at
from datamodules.loading.remembered import Remembered
from datamodules.voc.mask_files import Coding, MaskedImage
from datamodules.voc.own.classes import Classes, Listed, listed_classes, palette_colors, palette_names
from datamodules.voc.own.files import OwnFiles, mask_id
from datamodules.voc.own.layout import OwnLayout
from datamodules.voc.packed_masks import VOID
from lit_cv.errors import UserError

_BLACK, _BORDER = (0, 0, 0), (224, 224, 192)  # of the background and of void, unless a class has this color


class OwnMasks:
    """The images of an own layout and their masks.

    Args:
        layout: Where the masks and pictures lie.
        classes: The names of the classes, or their file; None takes a file in the root, or the names of the palette.
        ending: Ending of the names of masks; see :func:`mask_id`.
        palette: The color of each class; None for that of a labelmap.txt, or for masks of indices.
        values: See :class:`Coding`.
        remembered: As for ``OwnBoxes``.
    """

    def __init__(
        self,
        layout: OwnLayout,
        classes: Classes,
        ending: str,
        palette: Mapping[str, Sequence[int]] | None,
        values: Mapping[int, int],
        remembered: Remembered,
    ) -> None:
        self.layout, self._classes, self._remembered = layout, classes, remembered
        self._ending, self._palette, self._values = ending, palette, values
        self.files = OwnFiles(layout, mask_id(ending))

    @cached_property
    def listed(self) -> Listed:
        """The list of the classes.

        Raises:
            UserError: If nothing lists them.
        """
        if self._palette and self._classes is None:
            return Listed(palette_names(self._palette), {}, None, [])
        listed = listed_classes(self.layout.root, self._classes, "Segmentation")
        if listed is None:
            raise UserError(
                f"{self.layout.root}: nothing lists the classes of the masks: set data.classes to the names of the "
                "values 1, 2, ..., or data.palette to the color of each class."
            )
        return listed

    @cached_property
    def coding(self) -> Coding:
        """The meaning of the pixels."""
        colors = palette_colors(self._palette, self.listed.names) if self._palette else dict(self.listed.colors)
        if colors and self._values:
            raise UserError("data.mask_values is for masks of indices, but a palette gives their colors: remove one.")
        for label, color in ((0, _BLACK), (VOID, _BORDER)):
            if colors and label not in colors and color not in colors.values():
                colors[label] = color
        return Coding(self._values, colors, str(self.listed.file or "data.classes"))

    def images(self, split: str, report: Report = stop) -> list[MaskedImage]:
        """Return the images of a split; see :meth:`OwnFiles.items`."""
        images = []
        for item in self.files.items(split, report):
            try:
                images.append(MaskedImage(item.id, item.picture(), item.label))
            except UserError as error:
                report(Defect.of(error, item.label, "missing image"))
        return images

    def key(self, split: str, *facts: object) -> str | None:
        """Return the key of a split's packed masks, which depend on further facts; None without images."""
        key: str | None = self._start(split, *facts)["key"]
        return key

    def told(self, split: str, *facts: object) -> list[str]:
        """Return the sentences of :meth:`notes`, those of the last start if no file was added or removed."""
        notes: list[str] = self._start(split, *facts)["notes"]
        return notes

    def _start(self, split: str, *facts: object) -> dict[str, Any]:
        coding = dict(self._values), sorted(self.coding.colors.items())
        every = "voc-masks", self.listed.names, coding, self.layout.root.resolve(), *facts

        def look() -> tuple[dict[str, Any], Looked]:
            images = self.images(split)
            pictures, masks = [str(image.picture) for image in images], [str(image.mask) for image in images]
            looked = look_at(pictures, masks, *every)
            notes = [str(note.error) for note in self.notes(split)]
            return {"key": looked.key if images else None, "notes": notes}, looked

        part = self.layout.parts.get(split)
        facts = split, part, self.layout.split, self.listed, self._ending, *every
        places = self.files.places(part) if part else []
        start: dict[str, Any] = self._remembered.recall(cache_folder(self.layout.root), facts, places, look)
        return start

    def notes(self, split: str) -> list[Defect]:
        """Return notes about the classes and about pictures without a mask."""
        part, notes = self.layout.parts.get(split), list(self.listed.notes)
        if part and (alone := self.files.alone(split)) and not (part.divided and split != "train"):
            what = f"has {len(alone)} pictures without a mask, which are left out ({alone[0]}, ...)"
            notes.append(Defect(self.files.pictures(part).folder, what, "picture without mask", note=True))
        return notes
