"""The names of the classes of an own layout, and the colors that masks show them in."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, NamedTuple

from datamodules.defects import Defect
from datamodules.loading.packed import Content, Packed, as_bytes, cache_folder, open_packed
from datamodules.loading.text import read_text
from datamodules.voc.files import class_of, parse_xml
from datamodules.voc.lists import BACKGROUND, IGNORED, Task, read_classes
from lit_cv.errors import UserError

Color = tuple[int, int, int]
FILES = ("labelmap.txt", "classes.txt")
Classes = str | Sequence[str] | None


class Listed(NamedTuple):
    """A list of classes.

    Attributes:
        names: Names of labels 1..C.
        colors: The color of each label in masks, RGB, also of 0 (background) and 255 (void); empty without any.
        file: The file; None for names in the settings.
        notes: Notes about lines that are no class.
    """

    names: tuple[str, ...]
    colors: dict[int, Color]
    file: Path | None
    notes: list[Defect]


class Names(Packed):
    """The names of the classes in annotations, sorted."""

    KIND: ClassVar[str] = "voc-classes-1"
    ARRAYS: ClassVar[tuple[str, ...]] = ("names",)


def listed_classes(root: Path, classes: Classes, task: Task) -> Listed | None:
    """Return the classes that the settings or a file list; None if neither does.

    Args:
        root: Folder of the data set.
        classes: The names, or their file relative to ``root``; None looks for ``labelmap.txt`` and ``classes.txt``.
        task: Whether the order tells the values of masks, see :func:`read_classes`.

    Raises:
        UserError: If the list is unusable.
    """
    if classes is not None and not isinstance(classes, str):
        names = [" ".join(name.split()) for name in classes]
        for place, name in enumerate(names):
            if not name or name in names[:place]:
                raise UserError(f"data.classes has the name {name!r} {'twice' if name else ''}: fix the list.")
        return Listed(tuple(names), {}, None, [])
    found = [root / name for name in FILES if (root / name).is_file()] if classes is None else [root / classes]
    if not found:
        return None
    if not found[0].is_file():
        raise UserError(f"The list of classes {found[0]} is missing: fix data.classes.")
    text = read_text(found[0])
    if found[0].name == FILES[0] or "color_rgb" in text:
        return _label_map(found[0], text)
    read = read_classes(found[0], task)
    return Listed(read.names, {}, found[0], read.notes)


def annotated_classes(root: Path, files: Sequence[str], key: str) -> tuple[str, ...]:
    """Return the sorted names of the classes in XML files, whose key is given; they are read on the first call.

    Raises:
        UserError: If a file is unusable, or none has an object.
    """

    def build() -> Content:
        names = set[str]()
        for file in files:
            names |= _classes_in(Path(file))
        return Content({"names": as_bytes(sorted(names))}, {})

    packed = open_packed(Names, cache_folder(root), key, build)
    if not len(packed):
        raise UserError(f"{files[0]} and the other annotations have no object, so there is no class: annotate some.")
    return tuple(packed.name(place) for place in range(len(packed)))


def readable_classes(files: Sequence[str]) -> tuple[str, ...]:
    """Return the sorted names of the classes in those XML files that are usable."""
    names = set[str]()
    for file in files:
        with suppress(UserError):
            names |= _classes_in(Path(file))
    return tuple(sorted(names))


def _classes_in(file: Path) -> set[str]:
    try:
        return {class_of(item) for item in parse_xml(file).iterfind("object")}
    except ValueError as error:
        raise UserError(f"{file} is no VOC annotation: {error}; fix it.") from None


def palette_colors(palette: Mapping[str, Sequence[int]], names: Sequence[str]) -> dict[int, Color]:
    """Return the color of each label, 0 for the background and 255 for void.

    Args:
        palette: Colors by the name of their class, RGB.
        names: Names of labels 1..C.

    Raises:
        UserError: If a color is none, belongs to two classes, or a class is unknown.
    """
    colors: dict[int, Color] = {}
    for name, color in palette.items():
        red, green, blue = _color(f"data.palette: {name}", color)
        label = _label(name, names)
        if label is None:
            raise UserError(f"data.palette names {name!r}, which is no class ({', '.join(names)}): fix one of the two.")
        if (red, green, blue) in colors.values():
            raise UserError(f"data.palette gives the color [{red}, {green}, {blue}] to two classes: change one.")
        colors[label] = red, green, blue
    return colors


def palette_names(palette: Iterable[str]) -> tuple[str, ...]:
    """Return the classes of a palette: its names without those of the background and of void."""
    return tuple(name for name in palette if name.lower() not in (*BACKGROUND, *IGNORED))


def _label(name: str, names: Sequence[str]) -> int | None:
    if name in names:
        return names.index(name) + 1
    return {**dict.fromkeys(BACKGROUND, 0), **dict.fromkeys(IGNORED, 255)}.get(name.lower())


def _label_map(file: Path, text: str) -> Listed:
    """Read CVAT's labelmap.txt: ``label:color_rgb:parts:actions`` on each line."""
    rows: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.rsplit(":", 3)
        if len(parts) != 4:
            raise UserError(f"{file}:{number} is {line!r}, not `label:color_rgb:parts:actions`: fix the line.")
        name = " ".join(parts[0].split())
        if name in rows:
            raise UserError(f"{file}:{number} names the class {name!r} again: remove one of them.")
        rows[name] = _color(f"{file}:{number}", parts[1].split(",")) if parts[1].strip() else []
    names = palette_names(rows)
    if not names:
        raise UserError(f"{file} names no class: complete it, or set data.classes.")
    labels = {name: _label(name, names) for name in rows}
    colors = {
        label: (color[0], color[1], color[2])
        for name, color in rows.items()
        if color and (label := labels[name]) is not None
    }
    return Listed(names, colors, file, [])


def _color(where: str, values: Iterable[object]) -> list[int]:
    try:
        color = [int(str(value)) for value in values]
    except ValueError:
        color = []
    if len(color) != 3 or not all(0 <= value <= 255 for value in color):
        raise UserError(f"{where} has the color {list(values)}, not red, green and blue from 0 to 255: fix it.")
    return color
