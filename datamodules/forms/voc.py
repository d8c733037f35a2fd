"""Files in Pascal VOC's format outside its official layout: XML files, or masks, beside pictures."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath

from PIL import Image

from datamodules.forms.form import SPLIT, Form, block
from datamodules.forms.tree import Tree, join

_EXAMINED = 20  # files of a folder
_SHARE = 0.5  # of the examined files that must have a partner
_LONGEST = 24  # letters of a suffix that masks have beyond the names of their pictures
_HINTS = ("mask", "label", "seg", "annotation", "gt", "groundtruth", "target")
_NO_CLASSES = ("SegmentationObject",)  # objects, not classes
_INDEXED = ("P", "L", "1", "I", "I;16")
_PICTURES = ("JPEGImages", "images", "imgs", "img", "pictures")


def find_voc(tree: Tree, root: str) -> Iterator[Form]:
    """Yield a form for the XML files of boxes, with their pictures."""
    holders = {folder: stems for folder in tree.files if (stems := tree.stems(folder, ".xml"))}
    holders = {folder: stems for folder, stems in holders.items() if _is_voc(tree, folder, stems)}
    if not holders:
        return
    pairs = {folder: _pictures_of(tree, folder, stems) for folder, stems in holders.items()}
    found = {folder: pictures for folder, pictures in pairs.items() if pictures is not None}
    annotations, images = _common(list(found or holders)), _common(list(found.values()))
    notes = () if found else (f"no picture has the name of an XML file in {annotations or '.'}: set images",)
    lists = _lists(tree, "Main")
    data = block(
        "VOCDetectionDataModule",
        root,
        annotations=annotations or ".",
        images=(images or ".") if found else None,
        lists=lists,
        split=None if lists else SPLIT,
    )
    kind = "beside the pictures" if annotations == images and found else f"in {annotations or '.'}"
    yield Form(f"Pascal VOC's XML files {kind}", {"detection": data}, (images,), notes=notes)


def find_masks(tree: Tree, root: str) -> Iterator[Form]:
    """Yield a form for each folder of class masks, with the folder of their pictures."""
    for folder in sorted(tree.files):
        masks = tree.stems(folder, ".png", ".bmp", ".tif", ".tiff")
        if not masks or folder.rpartition("/")[2] in _NO_CLASSES or not _are_masks(tree, folder, masks):
            continue
        partner = _partner(tree, folder, masks)
        if partner is None:
            continue
        images, suffix = partner
        lists = _lists(tree, "Segmentation")
        data = block(
            "VOCSegmentationDataModule",
            root,
            images=images or ".",
            masks=folder or ".",
            mask_suffix=suffix or None,
            lists=lists,
            split=None if lists else SPLIT,
        )
        yield Form(f"pictures in {images or '.'}, class masks in {folder or '.'}", {"segmentation": data}, (images,))


def _is_voc(tree: Tree, folder: str, stems: dict[str, str]) -> bool:
    for name in islice(stems.values(), _EXAMINED):
        try:
            with (tree.root / folder / name).open("rb") as file:
                if b"<annotation" in file.read(1024):
                    return True
        except OSError:
            continue
    return False


def _pictures_of(tree: Tree, folder: str, stems: dict[str, str]) -> str | None:
    """Return the folder with most pictures of a folder's XML files; None if there is none."""
    sample = list(islice(stems, _EXAMINED))
    hits = {other: len(tree.stems(other).keys() & set(sample)) for other in tree.files}
    best = max(hits, key=lambda other: (hits[other], _liking(folder, other)), default=None)
    return best if best is not None and hits[best] else None


def _liking(folder: str, other: str) -> tuple[bool, bool, int, str]:
    name = other.rpartition("/")[2]
    return other == folder, name in _PICTURES, -other.count("/"), other


def _common(folders: list[str]) -> str:
    """Return the folder that holds all of the folders."""
    parts = [PurePosixPath(folder).parts for folder in folders]
    length = next(
        (n for n, level in enumerate(zip(*parts, strict=False)) if len(set(level)) > 1), min(map(len, parts), default=0)
    )
    return "/".join(parts[0][:length]) if parts else ""


def _lists(tree: Tree, task: str) -> dict[str, str] | None:
    """Return the lists of training, validation and test images, if there are the first two."""
    for folder in sorted(tree.files, key=lambda name: (not name.endswith(f"ImageSets/{task}"), name)):
        if folder.rpartition("/")[2] not in (task, "ImageSets", "lists", "splits", ""):
            continue
        if {"train.txt", "val.txt"} <= tree.files[folder]:
            parts = ("train", "val", "test")
            return {part: join(folder, f"{part}.txt") for part in parts if f"{part}.txt" in tree.files[folder]}
    return None


def _are_masks(tree: Tree, folder: str, masks: dict[str, str]) -> bool:
    """Return whether the pictures of a folder are masks: indexed or gray ones, or any in a folder of such a name."""
    if any(hint in part.lower() for part in (folder.rpartition("/")[2],) for hint in _HINTS):
        return True
    modes = Counter(mode for name in islice(masks.values(), 5) if (mode := _mode(tree, join(folder, name))))
    return bool(modes) and all(mode in _INDEXED for mode in modes)


def _mode(tree: Tree, path: str) -> str | None:
    try:
        with Image.open(tree.root / path) as image:
            return image.mode
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _partner(tree: Tree, folder: str, masks: dict[str, str]) -> tuple[str, str] | None:
    """Return the folder of the pictures of masks, and the suffix of the masks' names."""
    sample = list(islice(masks, _EXAMINED))
    best: tuple[int, tuple[bool, bool, int, str], str, str] | None = None
    for other in tree.files:
        pictures = tree.stems(other)
        if not pictures or other.rpartition("/")[2] == "SegmentationObject":
            continue
        suffixes = Counter(
            stem[len(stem) - length :]
            for stem in sample
            for length in range(0 if other != folder else 1, min(_LONGEST, len(stem)))
            if stem[: len(stem) - length] in pictures
        )
        for suffix, hits in suffixes.items():
            found = (hits, _liking(folder, other), other, suffix)
            if hits >= _SHARE * len(sample) and (best is None or found > best):
                best = found
    return None if best is None else (best[2], best[3])
