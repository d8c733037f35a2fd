"""The file that describes a data set in YOLO's form: the names of the classes, and the pictures of each split."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import yaml

from datamodules.base import SPLITS
from datamodules.loading.text import read_text
from lit_cv.errors import UserError, nearest

_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_NOTHING = ("", "null", "Null", "NULL", "~")


class Description(NamedTuple):
    """The content of a data.yaml.

    Attributes:
        file: The file.
        base: Folder that the paths in lists are relative to.
        names: Names of labels 1..C; the indices in label files count from 0.
        places: Folders of pictures and lists of pictures (``.txt``) of each split; they exist.
        notes: Sentences about paths that were read in another way than written.
    """

    file: Path
    base: Path
    names: tuple[str, ...]
    places: dict[str, list[Path]]
    notes: list[str]


def read_description(root: Path, name: str) -> Description:
    """Read a data.yaml as Ultralytics, Roboflow and CVAT write it (docs.ultralytics.com/datasets/detect).

    Args:
        root: Folder of the data set.
        name: The file, relative to the folder.

    Raises:
        UserError: If the file is missing or unusable, or names a folder that does not exist.
    """
    file = root / name
    if not file.is_file():
        there = sorted(path.name for path in root.glob("*.y*ml")) if root.is_dir() else []
        found = (
            f"set data.file to one of {', '.join(nearest(name, there))}"
            if there
            else "fix data.root, or write the file"
        )
        raise UserError(f"{file} is missing, which names the classes and the folders of the pictures: {found}.")
    content = _content(file)
    if _given(content.get("kpt_shape", "")):
        raise UserError(
            f"{file} has kpt_shape, so its labels are poses, but only boxes and polygons are read: export them in "
            "COCO's form, which datamodules.COCOKeypointDataModule reads."
        )
    names = _class_names(file, content)
    paths = Paths(file, _text(file, "path", content.get("path", "")))
    places = {split: paths.places(*_entry(file, content, split)) for split in SPLITS}
    if not any(places.values()):
        raise UserError(f"{file} names no pictures: write the folder of the training images behind `train:`.")
    return Description(file, paths.bases[0], names, places, list(dict.fromkeys(paths.notes)))


def _content(file: Path) -> dict[str, Any]:
    """Return the file's mapping; all scalars are texts, so that a class may be named `no` or `1`."""
    try:
        content = yaml.load(read_text(file), yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{file}{line} is no YAML ({getattr(error, 'problem', error)}): fix the line.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} holds no settings such as `names:` and `train:`, so it describes no data: fix it.")
    return content


def _class_names(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    names, count = content.get("names", ""), content.get("nc", "")
    if isinstance(names, dict):
        names = _ordered(file, names)
    if not names or not isinstance(names, list):
        raise UserError(f"{file} lacks the names of the classes: write `names: [first, second]`.")
    cleaned = [" ".join(name.split()) if isinstance(name, str) else "" for name in names]
    for index, name in enumerate(cleaned):
        if not name:
            raise UserError(f"{file}: the name of class {index} is {names[index]!r}: write a text.")
        if name in cleaned[:index]:
            raise UserError(f"{file}: names has {name!r} for the classes {cleaned.index(name)} and {index}: fix one.")
    if _given(count) and count != str(len(names)):
        raise UserError(f"{file} has nc: {count} but {len(names)} names: remove nc, or complete the names.")
    return tuple(cleaned)


def _ordered(file: Path, names: dict[Any, Any]) -> list[Any]:
    """Return the names of a mapping from index to name."""
    for index in names:
        if not str(index).strip().isdecimal():
            raise UserError(f"{file}: names maps {index!r}, which is no index, to {names[index]!r}: write `0: name`.")
    by_index = {int(index): name for index, name in names.items()}
    for index in range(len(names)):
        if index not in by_index:
            raise UserError(f"{file}: names has no class {index}, but {max(by_index)}: number them 0, 1, 2 and so on.")
    return [by_index[index] for index in range(len(names))]


def _entry(file: Path, content: dict[str, Any], split: str) -> tuple[str, list[str]]:
    """Return the key of a split and its paths; no paths if the file names none."""
    keys = [key for key in _KEYS[split] if _given(content.get(key, ""))]
    if len(keys) > 1:
        raise UserError(f"{file} has both {keys[0]} and {keys[1]}: remove one of them.")
    if not keys:
        return split, []
    entry = content[keys[0]]
    return keys[0], [_text(file, keys[0], part) for part in (entry if isinstance(entry, list) else [entry])]


def _given(value: object) -> bool:
    return value not in (*_NOTHING, [], {})


def _text(file: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise UserError(f"{file}: {key} is {value!r}, not a path: write a folder, a list of folders or a .txt file.")
    return "" if value in _NOTHING else value.strip()


class Paths:
    """Finds the paths that a data.yaml and its lists name.

    Args:
        file: The data.yaml.
        base: Its ``path``: the folder that other paths are relative to; empty for the folder of the file.

    Attributes:
        notes: Sentences about paths that were read in another way than written.
    """

    def __init__(self, file: Path, base: str) -> None:
        self.file, self.notes = file, list[str]()
        folder = self._folder(base) if base else file.parent
        self.bases = list(dict.fromkeys([folder, file.parent]))

    def places(self, key: str, entries: Sequence[str]) -> list[Path]:
        """Return the folders and lists of a split.

        Raises:
            UserError: If one does not exist.
        """
        places = []
        for entry in entries:
            found = self.find(entry)
            if found is None or not (found.is_dir() or found.suffix.lower() == ".txt"):
                what = "does not exist" if found is None else "is neither a folder nor a .txt list of pictures"
                raise UserError(
                    f"{self.file}: {key} is {entry}, which {what} (looked for in {self.bases[0]}): fix the path."
                )
            places.append(found)
        return places

    def find(self, entry: str) -> Path | None:
        """Return the existing path that an entry means; None if there is none.

        Entries are relative to the base, then to the folder of the file; Roboflow writes one ``../`` too many. An
        absolute path that does not exist is of another machine: its longest existing end is taken.
        """
        for base in self.bases:
            for text in (entry, entry.removeprefix("../")):
                if (path := base / text.replace("\\", "/")).exists():
                    return Path(os.path.normpath(path))
        return self._by_its_end(entry, self.bases[0]) if _is_absolute(entry) else None

    def _folder(self, entry: str) -> Path:
        """Return the folder that ``path`` means; that of the file if there is none."""
        if (path := self.file.parent / entry).is_dir():
            return Path(os.path.normpath(path))
        if found := self._by_its_end(entry, self.file.parent):
            return found
        if self.file.parent.name != PureWindowsPath(entry).name:
            self.notes.append(f"{self.file}: path is {entry}, which is no folder here; {self.file.parent} is taken.")
        return self.file.parent

    def _by_its_end(self, entry: str, base: Path) -> Path | None:
        for end in ends(entry):
            if (found := base / end).exists():
                self.notes.append(f"{self.file}: {entry} is not on this machine; {found} is taken, by the path's end.")
                return found
        return None


def ends(entry: str) -> Iterator[str]:
    """Yield the ends of a path, the longest first; it may be written with either separator."""
    path = PureWindowsPath(entry)
    parts = path.parts[bool(path.anchor) :]
    yield from ("/".join(parts[start:]) for start in range(len(parts)))


def _is_absolute(entry: str) -> bool:
    return entry.startswith("/") or PureWindowsPath(entry).is_absolute()
