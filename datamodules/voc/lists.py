"""The lists of a VOCdevkit: images of a set, and names of the classes."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

from datamodules.defects import Defect
from datamodules.loading.text import read_text
from lit_cv.errors import UserError, did_you_mean, nearest

CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
Task = Literal["Main", "Segmentation"]

BACKGROUND = ("background", "_background_", "__background__")
IGNORED = ("__ignore__", "_ignore_")
_FLAGGED = re.compile(r"(.*\S)\s+(-1|0|1)")


class ImageList(NamedTuple):
    """The content of an image list.

    Attributes:
        images: (``VOC<year>``, image id), in the list's order.
        notes: Notes about lines that are left out.
    """

    images: list[tuple[str, str]]
    notes: list[Defect]


class ClassList(NamedTuple):
    """The content of a list of classes.

    Attributes:
        names: Names of labels 1..C.
        notes: Notes about lines that are no class.
    """

    names: tuple[str, ...]
    notes: list[Defect]


def list_file(devkit: Path, name: str, task: str) -> Path:
    """Return the path of an official image list, see :func:`read_list`.

    Raises:
        UserError: If the name is malformed.
    """
    year, _, split = name.partition("_")
    if not (year.isdigit() and split):
        raise UserError(f"The set {name!r} is not of the form <year>_<list>: write, for instance, 2007_trainval.")
    return devkit / f"VOC{year}" / "ImageSets" / task / f"{split}.txt"


def read_list(devkit: Path, name: str, task: str = "Main") -> ImageList:
    r"""Read an official image list: an image id on each line.

    The list of one class has a flag behind each id; images with the flag -1 (the class is not in them) are left out.
    A folder in an id may be separated by ``\``, as on Windows. A list of file names is read as the ids in them.

    Args:
        devkit: The VOCdevkit folder.
        name: ``<year>_<list>``, for instance ``2007_trainval``.
        task: Folder of the list in ``ImageSets``.

    Raises:
        UserError: If the name is malformed, or the list missing, empty or unusable.
    """
    file = list_file(devkit, name, task)
    if not file.is_file():
        files = devkit.glob(f"VOC*/ImageSets/{task}/*.txt")
        there = sorted(f"{f.parts[-4][3:]}_{f.stem}" for f in files)
        sets = ", ".join(nearest(name, there)) or "none there"
        raise UserError(
            f"The image list {file} is missing: choose another set ({sets}){did_you_mean(name, there) or '.'}"
        )
    lines, notes = _lines(file)
    if not lines:
        raise UserError(f"The image list {file} is empty: restore it or choose another set.")
    images = list(lines.values())
    flagged = [_FLAGGED.fullmatch(image) for image in images]
    if all(flagged):
        images = [match[1] for match in flagged if match and match[2] != "-1"]
        if not images:
            raise UserError(f"The image list {file} gives the flag -1 to all of its images: choose another set.")
        if left := len(lines) - len(images):
            what = f"is the list of one class: {left} of its {len(lines)} images, with -1, are left out"
            notes.append(_note(file, what))
    images = [image.replace("\\", "/") for image in images]
    if all(re.fullmatch(r".+\.(jpe?g|png)", image, re.IGNORECASE) for image in images):
        pictures = devkit / file.parts[-4] / "JPEGImages"
        if (pictures / images[0].removeprefix("JPEGImages/")).is_file():  # else the names themselves end so
            notes.append(_note(file, f"names files, such as {images[0]}: the ids are their names without the suffix"))
            images = [image.removeprefix("JPEGImages/").rpartition(".")[0] for image in images]
    return ImageList([(file.parts[-4], image) for image in images], notes)


def read_classes(file: Path, task: Task) -> ClassList:
    """Read a list of classes: a name on each line, which may contain spaces.

    The background is index 0 and no class, whether it is listed or not; ``__ignore__`` is void.

    Args:
        file: The list.
        task: ``Segmentation``: the order of the names tells the indices in masks.

    Raises:
        UserError: If the file is not readable, names no class or one class twice, or masks would be ambiguous.
    """
    lines, notes = _lines(file)
    first: dict[str, int] = {}
    for number, line in lines.items():
        name = " ".join(line.split())
        if name.lower() in IGNORED:
            notes.append(_note(file, f"names {name}, which is void (255 in masks) and no class"))
        elif name.lower() in BACKGROUND:
            if first and task == "Segmentation":
                raise UserError(
                    f"{file}:{number} names {name} behind other classes, but it is index 0 in masks: move it to the "
                    "first line, or remove it."
                )
            notes.append(_note(file, f"names {name}, which is label 0; the classes count from 1 without it"))
        elif name in first:
            raise UserError(
                f"{file}:{number} names the class {name!r} of line {first[name]} again: remove one of them."
            )
        else:
            first[name] = number
    if not first:
        raise UserError(f"{file} names no class: write the name of a class on each line, or remove the file.")
    return ClassList(tuple(first), notes)


def _lines(file: Path) -> tuple[dict[int, str], list[Defect]]:
    """Return the lines of a list by number from 1, without comments and blank lines, and notes about these."""
    lines = {number: line.strip() for number, line in enumerate(read_text(file).splitlines(), 1)}
    used = {number: line for number, line in lines.items() if line and not line.startswith("#")}
    blank = sum(not line for number, line in lines.items() if number < max(used, default=0))
    comments = sum(line.startswith("#") for line in lines.values())
    left = {"comments (lines with #)": comments, "blank lines": blank}
    return used, [_note(file, f"has {count} {what}, which are left out") for what, count in left.items() if count]


def _note(file: Path, what: str) -> Defect:
    return Defect(file, what, "line left out", note=True)
