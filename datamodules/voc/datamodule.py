"""The base of the data sets of Pascal VOC."""

from collections.abc import Sequence
from typing import Any, ClassVar

from datamodules.base import DataModule
from datamodules.loading.packed import P
from datamodules.splits import Split
from datamodules.voc.lists import Task
from datamodules.voc.own.layout import OwnLayout, Paths
from datamodules.voc.source import VOCSource
from lit_cv.errors import UserError

_SETS = [["2012_train"], ["2012_val"], []]


class VOCDataModule(DataModule[P]):
    """Base of the data sets of Pascal VOC: the files, the image lists and the classes.

    Downloads are the archives of VOC2007 and VOC2012; generated data has the layout of VOC2012 only.

    Args:
        root: Folder that holds ``VOCdevkit`` (or that folder itself), or your own folders.
        train_sets: Image lists to train on, ``<year>_<list>``: ``[2007_trainval, 2012_trainval]`` is 07+12.
        val_sets: Image lists to validate on.
        test_sets: Image lists to test on; null for none.
        images: Folder of the pictures, relative to ``root``, in place of the official layout, or one for each of
            ``train``, ``val`` and ``test``; null finds it beside the labels.
        lists: The image list of each split, relative to ``root``: an id on each line, which may have blanks.
        split: Divides one folder of labels; null takes the default shares if there are no lists.
        classes: Names of labels 1..C, or a file of them relative to ``root``: one on each line, or CVAT's
            ``labelmap.txt``. Null takes ``labelmap.txt`` or ``classes.txt`` in ``root``.
        options: Those of :class:`DataModule`.

    Attributes:
        own: The folders of your own; None for the official layout.
    """

    task: ClassVar[Task] = "Main"

    def __init__(
        self,
        root: str,
        *args: Any,
        train_sets: Sequence[str] = ("2012_train",),
        val_sets: Sequence[str] = ("2012_val",),
        test_sets: Sequence[str] | None = None,
        images: str | dict[str, str | None] | None = None,
        lists: dict[str, str | None] | None = None,
        split: Split | None = None,
        classes: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, *args, **options)
        sets = train_sets, val_sets, test_sets
        self.voc = VOCSource(root, self.source, self.shapes, self.task, *sets)
        self._given = images, lists, split
        self._official_sets = [list(names or ()) for names in sets] == _SETS
        self.own: OwnLayout | None = None
        self.classes = classes

    def _choose_layout(self, setting: str, labels: Paths | None, others: dict[str, Any]) -> None:
        """Take the official layout, or folders of your own if a setting names one.

        Args:
            setting: Name of the setting of the labels.
            labels: Its value.
            others: Further settings of own folders, with their values where these are not the defaults.

        Raises:
            UserError: If settings of both layouts are given.
        """
        images, lists, split = self._given
        if labels is None and not any((images, lists, split)):
            if unused := next((name for name, value in (others | {"classes": self.classes}).items() if value), None):
                raise UserError(f"data.{unused} is a setting of your own folders: name these with data.{setting}.")
            self.root = self.voc.root
            return
        if not self._official_sets:
            raise UserError(
                f"data.{setting} and train_sets, val_sets or test_sets exclude each other: keep one of them."
            )
        if self.source != "local":
            raise UserError(f"data.{setting} names your own folders, but source is {self.source}: set it to local.")
        self.own_files = True
        self.own = OwnLayout(self.root, setting, labels if labels is not None else images or ".", images, lists, split)
        self.voc.sets = {name: [] for name in self.voc.sets}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names in ``VOCdevkit/classes.txt`` if it exists, else the 20 official ones."""
        return self.voc.class_names

    def fetch(self) -> None:
        """Download or generate missing files, as ``source`` says."""
        self.voc.fetch()

    def remarks(self) -> list[str]:
        """Return those of :class:`DataModule`, and sentences about lines of the lists that are left out."""
        notes = [] if self.own else [f"{note.file} {note.what}." for note in self.voc.notes()]
        return [*super().remarks(), *notes, *self._divided()]

    def _divided(self) -> list[str]:
        """Return the sentence about the shares of the splits, if one folder was divided."""
        if self.own is None or self.own.split is None:
            return []
        parts = self.own.parts
        divided = [split for split in self.splits if split in parts and parts[split].divided]
        counts = ", ".join(f"{len(self.splits[split])} {split}" for split in divided)
        return [f"{parts['train'].labels} is divided into {counts} images ({self.own.split})."]
