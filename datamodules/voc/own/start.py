"""The start with an own layout: key and notes of a split, those of the last start if no file was added or removed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from datamodules.defects import Defect
from datamodules.loading.packed import cache_folder
from datamodules.loading.picture_folders import Looked, look_at
from datamodules.loading.remembered import Remembered
from datamodules.voc.own.classes import Listed
from datamodules.voc.own.files import OwnFiles
from datamodules.voc.own.layout import OwnLayout


class OwnStart(ABC):
    """Base of the labels of an own layout.

    Args:
        layout: Where the labels and pictures lie.
        files: The files of the layout.
        remembered: Results of the last start.
    """

    ending = ""
    """Ending of the names of labels."""

    def __init__(self, layout: OwnLayout, files: OwnFiles, remembered: Remembered) -> None:
        self.layout, self.files, self._remembered = layout, files, remembered

    @property
    @abstractmethod
    def listed(self) -> Listed | None:
        """The list of the classes; None without one."""

    @abstractmethod
    def notes(self, split: str) -> list[Defect]:
        """Return notes about the classes and the pictures of a split."""

    @abstractmethod
    def described(self) -> tuple[object, ...]:
        """Return the settings and classes that packed labels depend on."""

    @abstractmethod
    def looked_at(self, split: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the paths of the pictures and of the labels of a split; no label without an image."""

    def key(self, split: str, *facts: object) -> str | None:
        """Return the key of a split's packed labels, which depend on further facts; None without images."""
        key: str | None = self._start(split, *facts)["key"]
        return key

    def told(self, split: str, *facts: object) -> list[str]:
        """Return the sentences of :meth:`notes`, those of the last start if no file was added or removed."""
        notes: list[str] = self._start(split, *facts)["notes"]
        return notes

    def _start(self, split: str, *facts: object) -> dict[str, Any]:
        every = *self.described(), self.layout.root.resolve(), *facts

        def look() -> tuple[dict[str, Any], Looked]:
            pictures, labels = self.looked_at(split)
            looked = look_at(pictures, labels, *every)
            notes = [str(note.error) for note in self.notes(split)]
            return {"key": looked.key if labels else None, "notes": notes}, looked

        part = self.layout.parts.get(split)
        depends = split, part, self.layout.split, self.listed, self.ending, *every
        places = self.files.places(part) if part else []
        start: dict[str, Any] = self._remembered.recall(cache_folder(self.layout.root), depends, places, look)
        return start
