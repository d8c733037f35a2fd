"""The base of the data sets of Pascal VOC."""

from collections.abc import Sequence
from typing import Any, ClassVar

from datamodules.base import DataModule
from datamodules.loading.packed import P
from datamodules.voc.lists import Task
from datamodules.voc.source import VOCSource


class VOCDataModule(DataModule[P]):
    """Base of the data sets of Pascal VOC: the files, the image lists and the classes.

    Downloads are the archives of VOC2007 and VOC2012; generated data has the layout of VOC2012 only.

    Args:
        root: Folder that holds ``VOCdevkit`` (or that folder itself).
        train_sets: Image lists to train on, ``<year>_<list>``: ``[2007_trainval, 2012_trainval]`` is 07+12.
        val_sets: Image lists to validate on.
        test_sets: Image lists to test on; null for none.
        options: Those of :class:`DataModule`.
    """

    task: ClassVar[Task] = "Main"

    def __init__(
        self,
        root: str,
        *args: Any,
        train_sets: Sequence[str] = ("2012_train",),
        val_sets: Sequence[str] = ("2012_val",),
        test_sets: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, *args, **options)
        self.voc = VOCSource(root, self.source, self.shapes, self.task, train_sets, val_sets, test_sets)
        self.root = self.voc.root

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names in ``VOCdevkit/classes.txt`` if it exists, else the 20 official ones."""
        return self.voc.class_names

    def fetch(self) -> None:
        """Download or generate missing files, as ``source`` says."""
        self.voc.fetch()

    def remarks(self) -> list[str]:
        """Return those of :class:`DataModule`, and sentences about lines of the lists that are left out."""
        return [*super().remarks(), *(f"{note.file} {note.what}." for note in self.voc.notes())]
