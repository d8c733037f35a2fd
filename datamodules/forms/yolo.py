"""YOLO's text form: a ``data.yaml``, pictures, and a text file of labels for each picture."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import yaml

from datamodules.forms.form import SPLIT, Block, Form, Task, block
from datamodules.forms.tree import Tree, join

_USUAL = "data.yaml"
_LARGEST = 1 << 20  # bytes of a description
_EXAMINED = 64  # label files
_TRAIN, _VAL = ("train",), ("val", "valid", "validation")


def find_yolo(tree: Tree, root: str) -> Iterator[Form]:
    """Yield a form for each description of classes and pictures, usually named ``data.yaml``."""
    for path in tree.with_suffix(".yaml", ".yml"):
        content, usual = _content(tree, path), path.rpartition("/")[2] == _USUAL
        if not (usual or ("names" in content and _named(content, _TRAIN) and "kpt_shape" not in content)):
            continue  # the DataModule explains what is wrong with a file of the usual name
        split = None if _named(content, _VAL) else SPLIT
        settings: dict[str, Any] = {"file": None if path == _USUAL else path, "split": split}
        data: dict[Task, Block] = {"detection": block("YOLODetectionDataModule", root, **settings)}
        folder = path.rpartition("/")[0]
        if _has_polygons(tree, folder):
            data["instances"] = block("YOLOInstanceDataModule", root, **settings)
        yield Form(f"YOLO labels, described by {path}", data, (folder,))


def _named(content: dict[str, Any], keys: tuple[str, ...]) -> bool:
    return any(content.get(key) not in (None, "", "null", "~", []) for key in keys)


def is_yolo_label(tree: Tree, path: str) -> bool:
    """Return whether a text file holds rows of an index and at least four numbers, or nothing."""
    numbers = _numbers(tree, path)
    return numbers is not None and (not numbers or len(numbers) >= 5)


def _content(tree: Tree, path: str) -> dict[str, Any]:
    file = tree.root / path
    try:
        if file.stat().st_size > _LARGEST:
            return {}
        content = yaml.load(file.read_text(encoding="utf-8-sig", errors="replace"), yaml.BaseLoader)
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _has_polygons(tree: Tree, folder: str) -> bool:
    labels = (path for below in tree.below(folder) for path in _labels(tree, below))
    return any(len(_numbers(tree, path) or ()) > 6 for path in islice(labels, _EXAMINED))


def _labels(tree: Tree, folder: str) -> Iterator[str]:
    """Yield the label files of a folder: all text files of ``labels``, elsewhere those beside their picture."""
    pictures = None if "labels" in folder.split("/") else tree.stems(folder)
    for stem, name in tree.stems(folder, ".txt").items():
        if pictures is None or stem in pictures:
            yield join(folder, name)


def _numbers(tree: Tree, path: str) -> list[float] | None:
    """Return the numbers of a text file's longest line of the first 64; None if it holds something else."""
    try:
        with (tree.root / path).open(encoding="utf-8", errors="replace") as file:
            rows = [[float(word) for word in line.split()] for line in islice(file, 64)]
    except (OSError, ValueError):
        return None
    return max(rows, key=len, default=[])
