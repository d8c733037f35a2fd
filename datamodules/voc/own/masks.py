"""The masks of folders of any names, their classes, and the meaning of their pixels."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from datamodules.defects import Defect, Report, stop
from datamodules.loading.remembered import Remembered
from datamodules.voc.mask_files import Coding, MaskedImage
from datamodules.voc.own.classes import Classes, Listed, listed_classes, palette_colors, palette_names
from datamodules.voc.own.files import OwnFiles, mask_id
from datamodules.voc.own.layout import OwnLayout
from datamodules.voc.own.start import OwnStart
from datamodules.voc.packed_masks import VOID
from lit_cv.errors import UserError

_BLACK, _BORDER = (0, 0, 0), (224, 224, 192)  # of the background and of void, unless a class has this color


class OwnMasks(OwnStart):
    """The images of an own layout and their masks; ``remembered`` as in the base class.

    Args:
        layout: Where the masks and pictures lie.
        classes: The names of the classes, or their file; None takes a file in the root, or the names of the palette.
        ending: Ending of the names of masks; see :func:`mask_id`.
        palette: The color of each class; None for that of a labelmap.txt, or for masks of indices.
        values: See :class:`Coding`.
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
        super().__init__(layout, OwnFiles(layout, mask_id(ending)), remembered)
        self.ending, self._classes, self._palette, self._values = ending, classes, palette, values

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

    def described(self) -> tuple[object, ...]:
        """Return the classes and the meaning of the pixels."""
        return "voc-masks", self.listed.names, (dict(self._values), sorted(self.coding.colors.items()))

    def looked_at(self, split: str) -> tuple[list[str], list[str]]:
        """Return the paths of the pictures and of the masks of a split."""
        images = self.images(split)
        return [str(image.picture) for image in images], [str(image.mask) for image in images]

    def notes(self, split: str) -> list[Defect]:
        """Return notes about the classes and about pictures without a mask."""
        part, notes = self.layout.parts.get(split), list(self.listed.notes)
        if part and (alone := self.files.alone(split)) and not (part.divided and split != "train"):
            what = f"has {len(alone)} pictures without a mask, which are left out ({alone[0]}, ...)"
            notes.append(Defect(self.files.pictures(part).folder, what, "picture without mask", note=True))
        return notes
