"""Files in COCO's format, as labeling tools write them."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from datamodules.forms.coco_head import Head, read_head
from datamodules.forms.form import SPLIT, SPLIT_WORD, Form, Task, block, part_of
from datamodules.forms.tree import Tree, join

_MOST = 48  # JSON files that are opened; a folder with one file for each image has thousands
_EXAMINED = 32  # images
_CVAT = re.compile(r"(^|/)annotations/(instances|person_keypoints|captions)_[^/]*\.json$")
_CLASSES: dict[Task, str] = {
    "detection": "COCODetectionDataModule",
    "instances": "COCOInstanceDataModule",
    "pose": "COCOKeypointDataModule",
    "captioning": "COCOCaptionDataModule",
}

_MORE: dict[Task, dict[str, Any]] = {"captioning": {"min_count": 2}}  # the default suits Visual Genome's size


def find_coco(tree: Tree, root: str) -> Iterator[Form]:
    """Yield a form for each annotation file, or for each group of files that differ only in the split.

    Args:
        tree: The folder.
        root: The folder, as the data block names it.
    """
    heads = {path: head for path in tree.with_suffix(".json")[:_MOST] if (head := read_head(tree.root / path))}
    groups: dict[str, dict[str, str]] = {}
    for path in heads:
        files = groups.setdefault(SPLIT_WORD.sub("*", path), {})
        files.setdefault(part_of(path), path)
    for files in sorted(groups.values(), key=lambda files: not heads[next(iter(files.values()))].masks):
        if form := _form(
            tree, root, {part: files[part] for part in ("", "train", "val", "test") if part in files}, heads
        ):
            yield form


def _form(tree: Tree, root: str, files: dict[str, str], heads: dict[str, Head]) -> Form | None:
    if "train" not in files:  # one file is divided, under any name
        files = {"": next(iter(files.values()))}
    found = [heads[path] for path in files.values()]
    serves: dict[Task, bool] = {
        "detection": any(head.boxes for head in found) or not any(head.annotated for head in found),
        "instances": any(head.masks for head in found),
        "pose": any(head.joints for head in found),
        "captioning": any(head.captions for head in found),
    }
    folders = {part: _images_of(tree, path, heads[path].names) for part, path in files.items()}
    settings = _settings(files, folders)
    data = {task: block(_CLASSES[task], root, **settings, **_MORE.get(task, {})) for task in serves if serves[task]}
    if not data:
        return None
    missing = [files[part] for part, folder in folders.items() if folder is None]
    notes = [f"the images of {path} are not in this folder: put them there, or set images" for path in missing]
    return Form(
        _name(files, heads),
        data,
        tuple(dict.fromkeys(folder for folder in folders.values() if folder is not None)),
        next((head.joints for head in found if head.joints), ()),
        tuple(notes),
    )


def _settings(files: dict[str, str], folders: dict[str, str | None]) -> dict[str, object]:
    """Return the settings that name the files; folders beside their file are left out."""
    apart = any(
        folder is not None and folder != join(*PurePosixPath(files[part]).parts[:-1])
        for part, folder in folders.items()
    )
    if len(files) == 1:
        (file,), (folder,) = files.values(), folders.values()
        return {"annotations": file, "images": (folder or ".") if apart else None, "split": SPLIT}
    images: Any = {part: folder or "." for part, folder in folders.items() if folder is not None} if apart else None
    if images and len(set(images.values())) == 1 and len(images) == len(files):
        images = next(iter(images.values()))
    return {"annotations": files, "images": images, "split": None if "val" in files else SPLIT}


def _images_of(tree: Tree, file: str, names: tuple[str, ...]) -> str | None:
    """Return the folder that the names of a file's images are relative to; None if no image is there.

    Of several folders with the most images, the one that shares the most of the file's path is taken. Some tools write
    the path of the image on their server; then its last part counts.
    """
    shown = [name.replace("\\", "/").removeprefix("./") for name in names[:_EXAMINED]]
    last = [name.rpartition("/")[2] for name in shown]
    for candidates in (shown, last, [unquote(name) for name in last]):
        hits = Counter({folder: sum(tree.has(join(folder, name)) for name in candidates) for folder in tree.files})
        most = max(hits.values(), default=0)
        if most:
            return max((folder for folder in hits if hits[folder] == most), key=lambda folder: _nearness(file, folder))
    return None


def _nearness(file: str, folder: str) -> tuple[int, bool, int, str]:
    place, parts = PurePosixPath(file).parts[:-1], PurePosixPath(folder).parts
    shared = next(
        (n for n, pair in enumerate(zip(place, parts, strict=False)) if pair[0] != pair[1]), min(len(place), len(parts))
    )
    same_part = bool(part_of(file)) and part_of(folder) == part_of(file)
    return shared, same_part, -len(parts), folder


def _name(files: dict[str, str], heads: dict[str, Head]) -> str:
    first = next(iter(files.values()))
    if first.endswith("_annotations.coco.json"):
        return "COCO, as Roboflow exports it"
    if _CVAT.search(first):
        return f"COCO, as CVAT exports it ({first})"
    if first.rpartition("/")[2] == "result.json":
        return "COCO, as Label Studio exports it"
    if heads[first].names and heads[first].names[0].startswith("JPEGImages/"):
        return "COCO, as labelme2coco exports it"
    return f"COCO annotations in {', '.join(files.values())}"
