"""Files in Pascal VOC's format outside its official layout: XML files, or masks, beside pictures."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from datamodules.forms.form import SPLIT, Form, block, part_of
from datamodules.forms.tree import Tree, join

EXAMINED = 20  # files of a folder
_SHARE = 0.5  # of the examined files that must have a partner
_LONGEST = 24  # letters of a suffix that masks have beyond the names of their pictures
_HINTS = ("mask", "label", "seg", "groundtruth", "ground_truth")
_NO_CLASSES = ("SegmentationObject",)  # objects, not classes
_INDEXED = ("P", "L", "1", "I", "I;16")
_ZERO = re.compile(rb"<[xy]min>\s*0(?:\.0*)?\s*<")  # corners count from 0; from 1 in the official files
Paths = str | dict[str, str]
_PICTURES = ("JPEGImages", "images", "imgs", "img", "pictures")


def find_voc(tree: Tree, root: str) -> Iterator[Form]:
    """Yield a form for the XML files of boxes, with their pictures."""
    holders = {folder: stems for folder in tree.files if (stems := tree.stems(folder, ".xml"))}
    heads = {folder: _heads(tree, folder, stems) for folder, stems in holders.items()}
    holders = {folder: stems for folder, stems in holders.items() if b"<annotation" in heads[folder]}
    if not holders:
        return
    partners = {folder: _pictures_of(tree, folder, stems) for folder, stems in holders.items()}
    pairs = {folder: pictures for folder, pictures in partners.items() if pictures is not None}
    labels, images = folders(pairs or dict.fromkeys(holders, ""))
    cvat = tree.has("labelmap.txt")
    first = 0 if cvat or any(_ZERO.search(heads[folder]) for folder in holders) else None
    settings = {"annotations": labels, "images": images if pairs else None, "first_pixel": first}
    data = block("VOCDetectionDataModule", root, **settings, **division(tree, "Main", labels))
    notes = () if pairs else ("no picture has the name of an XML file: put the pictures here, or set images",)
    kind = "as CVAT exports them" if cvat else "beside the pictures" if labels == images else f"in {shown(labels)}"
    yield Form(f"Pascal VOC's XML files {kind}", {"detection": data}, tuple(dict.fromkeys(pairs.values())), notes=notes)


def folders(pairs: dict[str, str]) -> tuple[Paths, Paths]:
    """Return the folders of labels and of pictures: one of each, or one for each split.

    Args:
        pairs: The folder of the pictures by that of their labels.
    """
    parts = {part_of(labels): (labels or ".", images or ".") for labels, images in pairs.items()}
    if len(parts) == len(pairs) > 1 and "train" in parts and "" not in parts:
        ordered = {part: parts[part] for part in ("train", "val", "test") if part in parts}
        return {part: pair[0] for part, pair in ordered.items()}, {part: pair[1] for part, pair in ordered.items()}
    return _common(list(pairs)) or ".", _common(list(pairs.values())) or "."


def division(tree: Tree, task: str, labels: Paths) -> dict[str, Any]:
    """Return the settings that divide the images: lists if there are some, else shares if no folder does."""
    if not isinstance(labels, str):
        return {} if "val" in labels else {"split": SPLIT}
    lists = _lists(tree, task, labels)
    return {"lists": lists} if lists else {"split": SPLIT}


def shown(paths: Paths) -> str:
    """Return folders in words."""
    return paths if isinstance(paths, str) else ", ".join(paths.values())


def _heads(tree: Tree, folder: str, stems: dict[str, str]) -> bytes:
    """Return the beginnings of some files, joined."""
    heads = []
    for name in islice(stems.values(), EXAMINED):
        with suppress(OSError), (tree.root / folder / name).open("rb") as file:
            heads.append(file.read(2048))
    return b"".join(heads)


def _pictures_of(tree: Tree, folder: str, stems: dict[str, str]) -> str | None:
    """Return the folder with most pictures of a folder's XML files; None if there is none."""
    hits = Counter(other for stem in islice(stems, EXAMINED) for other in tree.pictures.get(stem, ()))
    return max(hits, key=lambda other: (hits[other], liking(folder, other)), default=None)


def liking(labels: str, pictures: str) -> tuple[bool, int, bool, bool, int, str]:
    """Return how likely one of several folders holds the pictures of a folder of labels, judged by their names."""
    parts, other = labels.split("/"), pictures.split("/")
    shared = next((n for n, pair in enumerate(zip(parts[::-1], other[::-1], strict=False)) if pair[0] != pair[1]), 0)
    named = any(part in _PICTURES for part in other)
    return labels == pictures, shared, named, not hinted(pictures), -len(other), pictures


def hinted(folder: str) -> bool:
    """Return whether a folder is named like one of masks."""
    return any(hint in part.lower() for part in folder.split("/") for hint in _HINTS)


def _common(folders: list[str]) -> str:
    """Return the folder that holds all of the folders."""
    parts = [PurePosixPath(folder).parts for folder in folders]
    length = next(
        (n for n, level in enumerate(zip(*parts, strict=False)) if len(set(level)) > 1), min(map(len, parts), default=0)
    )
    return "/".join(parts[0][:length]) if parts else ""


def _lists(tree: Tree, task: str, labels: str) -> dict[str, str] | None:
    """Return the lists of training, validation and test images, if there are the first two, beside the labels."""
    base = labels.rpartition("/")[0]
    for folder in (join(base, name) for name in (f"ImageSets/{task}", "ImageSets", "lists", "splits", "")):
        if {"train.txt", "val.txt"} <= tree.files.get(folder, frozenset()):
            parts = ("train", "val", "test")
            return {part: join(folder, f"{part}.txt") for part in parts if f"{part}.txt" in tree.files[folder]}
    return None
