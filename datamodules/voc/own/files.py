"""The images of folders of any names: their labels (XML files or masks) and their pictures."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from datamodules.defects import Defect, Report, stop
from datamodules.loading.picture_folders import folders_below, is_picture, suffix_of
from datamodules.loading.text import read_text
from datamodules.splits import split_names
from datamodules.voc.own.layout import OwnLayout, Part
from lit_cv.errors import UserError

LabelId = Callable[[str], str | None]
_USUAL = ("jpegimages", "images", "imgs")


def xml_id(name: str) -> str | None:
    """Return the id of the image that an XML file describes; None for other files."""
    return name[:-4] if suffix_of(name) == ".xml" else None


def mask_id(ending: str) -> LabelId:
    """Return the function from a file's name to the id of the image that it is the mask of; None for other files.

    Args:
        ending: Ending of the names of masks, with or without the suffix of the file: ``_mask`` or ``_mask.png``.
    """

    def find(name: str) -> str | None:
        stem = name if "." in ending else os.path.splitext(name)[0]
        return stem.removesuffix(ending) if is_picture(name) and stem.endswith(ending) else None

    return find


class Pictures:
    """The pictures of a folder and of the folders in it.

    Args:
        folder: The folder to look in.
        is_label: Whether a file, given by its path in the folder, is a label.

    Attributes:
        by_id: Their paths in the folder, by the path without suffix.
    """

    def __init__(self, folder: Path, is_label: Callable[[str], bool]) -> None:
        self.folder = folder
        self.by_id, self._by_name = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for name in _files(folder):
            if is_picture(os.path.basename(name)) and not is_label(name):
                self.by_id[os.path.splitext(name)[0]].append(name)
                self._by_name[os.path.basename(name)].append(name)

    @cached_property
    def paths(self) -> list[str]:
        """The paths of all pictures."""
        return [f"{self.folder}/{name}" for names in self.by_id.values() for name in names]

    def find(self, image: str, named: str, label: Path) -> Path:
        """Return the picture of an image.

        Args:
            image: Path in the folder without suffix, by which the picture is found first.
            named: The file name that the label gives; it decides where pictures differ in the suffix only, and where
                none has the image's name. Empty without one.
            label: The label file.

        Raises:
            UserError: If there is no such picture, or more than one.
        """
        file = os.path.basename(named.replace("\\", "/"))
        found = self.by_id.get(image, [])
        if len(found) > 1:
            found = [name for name in found if os.path.basename(name) == file] or found
        found = found or self._by_name.get(file, []) or self.by_id.get(file, [])
        if not found:
            raise UserError(
                f"{self.folder / (file or image)} is missing, though {label} describes it: restore the image, or set "
                "data.images to the folder of the pictures."
            )
        if len(found) > 1:
            raise UserError(
                f"{self.folder / found[0]} and {found[1]} could both be the picture of {label}: remove or rename one."
            )
        return self.folder / found[0]


class Item(NamedTuple):
    """An image of a split.

    Attributes:
        id: Path of its label in the folder of labels, without the ending.
        file: Path of the XML file or mask, which need not exist.
        pictures: The pictures among which its own is.
    """

    id: str
    file: str
    pictures: Pictures

    @property
    def label(self) -> Path:
        """The XML file or mask."""
        return Path(self.file)

    def picture(self, named: str = "") -> Path:
        """Return the picture, see :meth:`Pictures.find`."""
        return self.pictures.find(self.id, named, self.label)


class OwnFiles:
    """The images of each split of an own layout.

    Args:
        layout: The settings of the files.
        label_id: Tells the label files, see :func:`xml_id` and :func:`mask_id`.
    """

    def __init__(self, layout: OwnLayout, label_id: LabelId) -> None:
        self.layout, self._label_id = layout, label_id
        self._labels: dict[Path, dict[str, str]] = {}
        self._pictures: dict[Path, Pictures] = {}

    def items(self, split: str, report: Report = stop) -> list[Item]:
        """Return the images of a split, in the order of its list, else sorted by the names of their pictures.

        Args:
            split: ``train``, ``val`` or ``test``.
            report: Receives a defect for a line of a list that names no image, or one a second time.

        Raises:
            UserError: If a folder or list is missing or names nothing.
        """
        part = self.layout.parts.get(split)
        if part is None:
            return []
        labels, pictures = self.labels(part.labels), self.pictures(part)
        if part.names is not None:
            return self._listed(part, part.names, report)
        names = {image: pictures.by_id.get(image, [image])[0] for image in labels}
        images = {name: image for image, name in sorted(names.items(), key=lambda entry: entry[1])}
        chosen = list(images)
        if part.divided and self.layout.split:
            chosen = split_names(chosen, self.layout.split)[split]
        return [Item(images[name], labels[images[name]], pictures) for name in chosen]

    def labels(self, folder: Path) -> dict[str, str]:
        """Return the paths of the label files of a folder, and of the folders in it, by the ids of their images.

        Raises:
            UserError: If there is none, or two belong to one image.
        """
        if folder not in self._labels:
            if not folder.is_dir():
                raise UserError(f"{folder} is no folder, though data.{self.layout.setting} names it: fix the path.")
            found: dict[str, str] = {}
            for name in _files(folder):
                if (image := self._label_id(name)) is None:
                    continue
                if image in found:
                    raise UserError(f"{found[image]} and {folder / name} belong to one image: remove one of the two.")
                found[image] = f"{folder}/{name}"
            if not found:
                kind = (
                    "XML file" if self.layout.setting == "annotations" else "mask whose name ends as mask_suffix says"
                )
                raise UserError(f"{folder} holds no {kind}: set data.{self.layout.setting} to another folder.")
            self._labels[folder] = found
        return self._labels[folder]

    def pictures(self, part: Part) -> Pictures:
        """Return the pictures of a split.

        Raises:
            UserError: If there are none.
        """
        folder = part.images or self._beside(part.labels)
        if folder not in self._pictures:
            pictures = Pictures(folder, self._is_label(folder, part.labels))
            if not pictures.by_id:
                raise UserError(f"{folder} is no folder with pictures: set data.images to their folder.")
            self._pictures[folder] = pictures
        return self._pictures[folder]

    def places(self, part: Part) -> list[Path]:
        """Return the folders and the list that :meth:`items` and :meth:`alone` look into."""
        folder = part.images or self._around(Path(os.path.normpath(part.labels)))
        return [part.labels, folder, *([part.names] if part.names else [])]

    def alone(self, split: str) -> list[str]:
        """Return the pictures of a split's folder without a label; none if a list names its images."""
        part = self.layout.parts[split]
        if part.names is not None:
            return []
        labels, pictures = self.labels(part.labels), self.pictures(part)
        return sorted(names[0] for image, names in pictures.by_id.items() if image not in labels)

    def _beside(self, labels: Path) -> Path:
        """Return the folder of the pictures: that of the labels, or one beside it that has a picture of a label.

        Raises:
            UserError: If there is none, or more than one without a usual name.
        """
        labels = Path(os.path.normpath(labels))
        if self._fits(labels, labels):
            return labels
        around = self._around(labels)
        folders = [folder for folder in sorted(around.iterdir()) if folder.is_dir() and folder != labels]
        fitting = [folder for folder in folders if self._fits(folder, labels)]
        usual = [folder for folder in fitting if folder.name.lower() in _USUAL] or fitting
        if len(usual) > 1:
            raise UserError(
                f"{usual[0]} and {usual[1]} both have pictures for {labels}: set data.images to one of them."
            )
        if not usual and not self._fits(around, labels):
            raise UserError(f"No pictures for {labels} lie in it or beside it: set data.images to their folder.")
        return usual[0] if usual else around

    def _around(self, labels: Path) -> Path:
        return labels.parent if labels != Path(os.path.normpath(self.layout.root)) else labels

    def _fits(self, folder: Path, labels: Path) -> bool:
        is_label = self._is_label(folder, labels)
        pictures = (name for name in _files(folder) if is_picture(os.path.basename(name)) and not is_label(name))
        return not self.labels(labels).keys().isdisjoint(os.path.splitext(name)[0] for name in pictures)

    def _is_label(self, folder: Path, labels: Path) -> Callable[[str], bool]:
        """Return the function that tells whether a file, given by its path in ``folder``, is a label."""
        if folder == labels:
            return lambda name: self._label_id(name) is not None
        inside = os.path.relpath(labels, folder)
        return lambda name: name.startswith(f"{inside}/") and self._label_id(name) is not None

    def _listed(self, part: Part, file: Path, report: Report) -> list[Item]:
        labels, pictures, items = self.labels(part.labels), self.pictures(part), dict[str, Item]()
        if not file.is_file():
            raise UserError(f"The image list {file} is missing: fix data.lists.")
        for number, line in enumerate(read_text(file).splitlines(), 1):
            if not (text := line.strip().replace("\\", "/")):
                continue
            known = (labels,) if self.layout.setting == "masks" else (labels, pictures.by_id)
            image = next((image for image in _meanings(text) if any(image in ids for ids in known)), None)
            if image is None:
                what = f"names {text!r}, for which {part.labels} has no file: fix the line, or remove it"
                report(Defect(file, what, "missing file", f"{file}:{number} {what}."))
            elif image in items:
                what = f"names {text!r} a second time: remove one of the two lines"
                report(Defect(file, what, "duplicate id", f"{file}:{number} {what}."))
            else:
                items[image] = Item(image, labels.get(image, f"{part.labels}/{image}.xml"), pictures)
        if not items:
            raise UserError(f"The image list {file} names no image: restore it or choose another.")
        return list(items.values())


def _meanings(text: str) -> Iterator[str]:
    """Yield the ids that a line of a list may mean: the whole line, the line without quotes, suffix or folders."""
    plain = text.strip('"')
    stem = os.path.splitext(plain)[0] if is_picture(plain) or suffix_of(plain) == ".xml" else plain
    yield from (text, plain, stem)
    while "/" in stem:
        stem = stem.split("/", 1)[1]
        yield stem


def _files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files of a folder and of those in it, relative to the folder."""
    for place, files in folders_below(folder):
        inside = os.path.relpath(place, folder)
        yield from files if inside == "." else (f"{inside}/{name}" for name in files)
