"""The location of a VOCdevkit, and the images of each split."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from datamodules.base import SPLITS, Source
from datamodules.defects import Defect, Report, stop
from datamodules.shapes import scenes
from datamodules.shapes.settings import Shapes
from datamodules.voc.archives import fetch_voc
from datamodules.voc.generated import write_voc
from datamodules.voc.lists import CLASS_NAMES, ClassList, Task, list_file, read_classes, read_list
from lit_cv.errors import UserError


class VOCSource:
    """A VOCdevkit and the image lists of the splits.

    Args:
        root: The folder ``VOCdevkit`` or the one that holds it.
        source: Origin of the files: local, download or shapes.
        shapes: Settings of the generated VOCdevkit.
        task: Folder of the lists in ``ImageSets``.
        sets: Names of the image lists, ``<year>_<list>``, of train, val and test; None or empty for a split without
            lists.
    """

    def __init__(
        self, root: str, source: Source, shapes: Shapes, task: Task,
        *sets: Sequence[str] | None,
    ) -> None:  # fmt: skip
        folder = Path(root)
        self.root = folder.parent if folder.name == "VOCdevkit" else folder
        self.source, self.shapes, self.task = source, shapes, task
        self.sets = {split: list(names or ()) for split, names in zip(SPLITS, sets, strict=True)}

    def take(self, prefix: str) -> dict[str, list[str]]:
        """Remove the sets whose names start with a prefix, and return their names without it, by split."""
        taken = {
            split: [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
            for split, names in self.sets.items()
        }
        self.sets = {
            split: [name for name in names if not name.startswith(prefix)] for split, names in self.sets.items()
        }
        return taken

    @property
    def devkit(self) -> Path:
        """The VOCdevkit folder."""
        return self.root / "VOCdevkit"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names in ``VOCdevkit/classes.txt`` if it exists, else the 20 official ones."""
        return self._classes.names

    @property
    def _classes(self) -> ClassList:
        if self.source == "shapes":
            return ClassList(scenes.CLASS_NAMES, [])
        listed = self.devkit / "classes.txt"
        return read_classes(listed, self.task) if listed.exists() else ClassList(CLASS_NAMES, [])

    def fetch(self) -> None:
        """Download or generate missing files, as ``source`` says."""
        if self.source == "download":
            fetch_voc(self.root, [name for sets in self.sets.values() for name in sets])
        elif self.source == "shapes":
            write_voc(self.root, self.shapes)

    def images(self, split: str, report: Report = stop) -> list[tuple[str, str]]:
        """Return (``VOC<year>``, image id) of a split, each once, in the order of its lists; empty without lists.

        Args:
            split: ``train``, ``val`` or ``test``.
            report: Receives a defect if the root or a list is missing, and for each image that occurs again.

        Raises:
            UserError: If the name of a list is malformed.
        """
        if self.sets[split] and not self.devkit.is_dir():
            what = "holds no VOCdevkit folder: fix data.root, or set data.source to download"
            report(Defect(self.root, what, "missing folder"))
            return []
        images: dict[tuple[str, str], None] = {}
        for name in self.sets[split]:
            file = list_file(self.devkit, name, self.task)
            try:
                listed = read_list(self.devkit, name, self.task).images
            except UserError as error:
                report(Defect.of(error, file, "unusable image list"))
                continue
            within = set[tuple[str, str]]()
            for image in listed:
                if image in within:
                    report(Defect(file, f"names {image[1]} a second time: remove one of the two lines", "duplicate id"))
                elif image in images:
                    what = f"names {image[1]} a second time in {split}_sets: remove it, or choose other lists"
                    report(Defect(file, what, "duplicate id"))
                within.add(image)
                images[image] = None
        return list(images)

    def notes(self) -> list[Defect]:
        """Return the notes about lines of the lists that are no class or no image; unusable lists are left out."""
        notes = list(self._classes.notes)
        for name in (name for names in self.sets.values() for name in names):
            with suppress(UserError):
                notes += read_list(self.devkit, name, self.task).notes
        return notes
