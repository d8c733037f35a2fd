"""Pictures with class masks, outside Pascal VOC's official layout."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from PIL import Image

from datamodules.forms.form import SPLIT_WORD, Form, block
from datamodules.forms.tree import Tree, join
from datamodules.forms.voc import EXAMINED, division, folders, hinted, liking, shown

_SHARE = 0.4  # of the examined masks that must have a picture
_LONGEST = 24  # letters of a suffix that masks have beyond the names of their pictures
_NO_CLASSES = ("SegmentationObject",)  # objects, not classes
_INDEXED = ("P", "L", "1")
_MOST = 64  # classes; more values or colors are those of photos
_NO_COLORS = ((0, 0, 0), (224, 224, 192))  # of the background and of void
_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
_UNNAMED = "nothing lists the classes of the masks: write their names in place of class_1 and so on"
_LISTS = ("labelmap.txt", "classes.txt")


def find_masks(tree: Tree, root: str) -> Iterator[Form]:
    """Yield a form for each folder of class masks, or each group of folders of the splits, with their pictures."""
    groups: dict[str, dict[str, str]] = {}
    for folder in sorted(tree.files):
        masks = tree.stems(folder, *_SUFFIXES)
        partner = None if folder.rpartition("/")[2] in _NO_CLASSES else _partner(tree, folder, masks)
        if partner is None or not (hinted(partner[1]) or _are_masks(tree, folder, masks)):
            continue
        if hinted(folder) or not hinted(partner[0]):  # gray pictures with gray masks
            group = f"{SPLIT_WORD.sub('*', folder)} {partner[1]}"
            groups.setdefault(group, {})[folder] = partner[0]
    for group, pairs in groups.items():
        labels, images = folders(pairs)
        suffix = group.rpartition(" ")[2]
        classes, notes = _classes(tree, list(pairs), suffix)
        settings = {"images": images, "masks": labels, "mask_suffix": suffix or None, **classes}
        data = block("VOCSegmentationDataModule", root, **settings, **division(tree, "Segmentation", labels))
        name = f"pictures in {shown(images)}, class masks in {shown(labels)}"
        yield Form(name, {"segmentation": data}, tuple(dict.fromkeys(pairs.values())), notes=notes)


def _classes(tree: Tree, holders: list[str], suffix: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return settings that name the classes of masks, and a note that the names are not known.

    A list in the root names them; else they are numbered, in the order of the values or colors of some masks.
    """
    if any(tree.has(name) for name in _LISTS):
        return {}, ()
    stems = ((folder, tree.stems(folder, *_SUFFIXES)) for folder in holders)
    paths = (join(folder, name) for folder, names in stems for stem, name in names.items() if stem.endswith(suffix))
    values, colors = set[int](), set[tuple[int, ...]]()
    for path in islice(paths, EXAMINED):
        with suppress(OSError, ValueError, Image.DecompressionBombError), Image.open(tree.root / path) as image:
            if image.mode in _INDEXED:
                values |= {value for value, count in enumerate(image.histogram()) if count}
            elif found := image.convert("RGB").getcolors(_MOST):
                colors |= {color for _, color in found if isinstance(color, tuple)}
    labels = sorted(values - {0, 255})
    if not labels and 255 in values and not colors:
        return {"classes": ["object"], "mask_values": {255: 1}}, ()
    if labels:
        count = labels[-1]
        names = f"class_1 to class_{count} are the values 1 to {count} of the masks"
        return {"classes": [f"class_{label}" for label in range(1, count + 1)]}, (f"{_UNNAMED}; {names}",)
    palette = {f"class_{n}": list(color) for n, color in enumerate(sorted(colors - {*_NO_COLORS}), 1)}
    return ({"palette": palette}, (f"{_UNNAMED}; each has a color of the masks",)) if palette else ({}, ())


def _are_masks(tree: Tree, folder: str, masks: dict[str, str]) -> bool:
    """Return whether a folder has masks: indexed or gray pictures, or any pictures if it is named like one of masks."""
    return hinted(folder) or any(
        _mode(tree, join(folder, name)) in _INDEXED for name in islice(masks.values(), EXAMINED)
    )


def _mode(tree: Tree, path: str) -> str | None:
    try:
        with Image.open(tree.root / path) as image:
            return image.mode
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _partner(tree: Tree, folder: str, masks: dict[str, str]) -> tuple[str, str] | None:
    """Return the folder of the pictures of masks, and the suffix of the masks' names."""
    sample = list(islice(masks, EXAMINED))
    hits = Counter(
        (other, stem[len(stem) - length :])
        for stem in sample
        for length in range(min(_LONGEST, len(stem)))
        for other in tree.pictures.get(stem[: len(stem) - length], ())
        if (other != folder or length) and other.rpartition("/")[2] not in _NO_CLASSES
    )
    likely = [found for found, count in hits.items() if count >= _SHARE * len(sample)]
    return max(likely, key=lambda found: (hits[found], liking(folder, found[0])), default=None)
