"""The pictures of a split of a data set in YOLO's form, and their label files."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from datamodules.defects import Defect, Report, stop
from datamodules.loading.picture_folders import folders_below, is_picture
from datamodules.loading.text import read_text
from datamodules.yolo.description import Description, ends
from lit_cv.errors import UserError


class Labeled(NamedTuple):
    """A picture and its label file, which need not exist."""

    picture: str
    labels: str


def list_pictures(description: Description, split: str, report: Report = stop) -> list[Labeled]:
    """Return the pictures that a data.yaml names for a split: those of folders sorted, those of lists in their order.

    Args:
        description: The data.yaml.
        split: ``train``, ``val`` or ``test``.
        report: Receives a defect for a picture that is missing or listed twice, and for two pictures with one label.

    Raises:
        UserError: If a list cannot be read, or a folder or list holds no picture.
    """
    found: dict[str, Labeled] = {}
    folders = LabelFolders()
    for place in description.places[split]:
        names = list(_in_folder(place) if place.is_dir() else _in_list(description, place, report))
        if not names:
            what = "a folder without pictures" if place.is_dir() else "a list without pictures"
            raise UserError(f"{place} is {what}, but {description.file} names it for {split}: fix the path.")
        for name in names:
            if name in found:
                what = f"is named a second time in {place}: name it once for {split}"
                report(Defect(Path(name), what, "duplicate id"))
            found[name] = Labeled(name, folders.label_file(name))
    owners: dict[str, str] = {}
    for picture, labels in found.values():
        if (other := owners.setdefault(labels, picture)) != picture:
            what = f"and {os.path.basename(picture)} have the same labels, {labels}: remove or rename one of the two"
            report(Defect(Path(other), what, "two pictures for one label"))
    return list(found.values())


def labels_alone(description: Description, split: str, images: Sequence[Labeled]) -> list[str]:
    """Return the label files without a picture, in the label folders of a split that is given by folders.

    Args:
        description: The data.yaml.
        split: ``train``, ``val`` or ``test``.
        images: All pictures of the split.
    """
    if not all(place.is_dir() for place in description.places[split]):
        return []
    paired = {image.labels for image in images}
    files = (f"{folder}/{name}" for folder in {os.path.dirname(labels) for labels in paired} for name in _names(folder))
    return sorted(file for file in files if file.endswith(".txt") and file not in paired and not _is_other(file))


def _names(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _is_other(file: str) -> bool:
    """Return whether a text file is no label file: LabelImg writes the classes beside the labels."""
    return os.path.basename(file) in ("classes.txt", "README.txt", "README.roboflow.txt", "README.dataset.txt")


class LabelFolders:
    """Finds the label file of a picture, by the rule of Ultralytics, or beside the picture.

    The last ``images`` among the folders becomes ``labels``, and the suffix ``.txt``. If there is no such folder, the
    labels lie beside the pictures.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def label_file(self, picture: str) -> str:
        """Return the path of a picture's labels, which need not exist."""
        folder, name = os.path.split(picture)
        if folder not in self._known:
            self._known[folder] = self._labels_of(folder)
        return f"{self._known[folder]}/{os.path.splitext(name)[0]}.txt"

    @staticmethod
    def _labels_of(folder: str) -> str:
        other = labels_beside(folder)
        return other if other and os.path.isdir(other) else folder


def labels_beside(folder: str) -> str | None:
    """Return the folder of labels, which need not exist, for a folder of pictures; None if none of it is ``images``."""
    before, images, after = f"{folder}/".rpartition("/images/")
    return f"{before}/labels/{after}".rstrip("/") if images else None


def _in_folder(place: Path) -> Iterator[str]:
    for folder, files in folders_below(place):
        yield from (f"{folder}/{name}" for name in files if is_picture(name))


def folders_of(description: Description, split: str) -> list[Path] | None:
    """Return the folders and lists whose times show whether :func:`list_pictures` and the labels are the same.

    None if a list names pictures in a folder that is not here: they may be anywhere.
    """
    found = list(description.places[split])
    for place in description.places[split]:
        for folder in {} if place.is_dir() else {os.path.dirname(entry): None for _, entry in _entries(place)}:
            meant = [os.path.normpath(os.path.join(base, folder)) for base in _bases(description, place)]
            if not any(map(os.path.isdir, meant)):
                return None
            found += map(Path, meant)
    return [*found, *(Path(labels) for place in found if (labels := labels_beside(str(place))))]


def _bases(description: Description, place: Path) -> list[Path]:
    """Return the folders that the entries of a list may be relative to."""
    return list(dict.fromkeys([description.base, place.parent, description.file.parent]))


def _entries(place: Path) -> Iterator[tuple[int, str]]:
    """Yield the entries of a list, with the numbers of their lines."""
    for number, line in enumerate(read_text(place).splitlines(), 1):
        entry = line.strip().replace("\\", "/")
        if entry and not entry.startswith("#"):
            yield number, entry


def _in_list(description: Description, place: Path, report: Report) -> Iterator[str]:
    """Yield the pictures of a list: relative to the base, to the list or to data.yaml, or by the end of their path."""
    bases = _bases(description, place)
    for number, entry in _entries(place):
        paths = chain((os.path.join(base, entry) for base in bases), _by_end(description, place, entry))
        path = next(filter(os.path.isfile, paths), None)
        if path is None:
            what = f"names {entry}, which does not exist: fix the path, or remove the line"
            report(Defect(place, what, "missing image", f"{place}:{number} {what}."))
        else:
            yield os.path.normpath(path)


def _by_end(description: Description, place: Path, entry: str) -> Iterator[str]:
    """Yield the paths that an entry of another machine may mean; the first one that exists is noted."""
    for end in ends(entry):
        path = os.path.join(description.base, end)
        if os.path.isfile(path) and not any(note.startswith(f"{place} ") for note in description.notes):
            description.notes.append(f"{place} names {entry}, which is not here; {path} is taken, by the path's end.")
        yield path
