"""Find the image files of a COCO set, and the sizes that its annotation file does not say."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.coco.files import COCOSet
from datamodules.coco.tables import Images
from datamodules.loading.decode import image_size
from lit_cv.errors import UserError


class Pictures(NamedTuple):
    """The image files of a set.

    Attributes:
        images: The images as listed, with the names of their files relative to the folder of the set, and their sizes.
        missing: bool (N,), whether there is no such file.
        measured: Number of images whose size is the file's own, because the annotations do not say it.
        translated: Number of images whose name had to be read in another way, see :func:`find_pictures`.
        example: Such a name as listed; empty without one.
    """

    images: Images
    missing: NDArray[np.bool_]
    measured: int
    translated: int
    example: str


def find_pictures(source: COCOSet, images: Images) -> Pictures:
    """Find the files of images, and the sizes that are not listed.

    A name is relative to the folder of the set. If there is no such file, ``\\`` is read as ``/``, and then the name as
    relative to the folder that holds the folder of the set.

    Args:
        source: The set; a missing folder of images holds none.
        images: Its images as listed. A size stays -1 if the file is missing or unreadable.
    """
    present = set(os.listdir(source.images)) if source.images.is_dir() else set()
    found = [name if name in present else _found(source.images, name) for name in images.names]
    names = [name if file is None else file for name, file in zip(images.names, found, strict=True)]
    unknown = np.flatnonzero(images.sizes[:, 0] < 0)
    sizes = images.sizes.copy()
    for place in tqdm(unknown.tolist(), desc=f"Sizes of {source.images.name}", unit="image", delay=2):
        sizes[place] = _size(source.images / names[place], source.file)
    translated = [listed for name, listed in zip(names, images.names, strict=True) if name != listed]
    return Pictures(
        Images(images.ids, names, sizes),
        np.array([file is None for file in found], dtype=np.bool_),
        int((sizes[unknown] > 0).all(axis=1).sum()),
        len(translated),
        next(iter(translated), ""),
    )


def _found(folder: Path, name: str) -> str | None:
    """Return the name of an image's file relative to the folder; None if there is none."""
    if os.path.isfile(folder / name):
        return name
    plain = name.replace("\\", "/")
    for path in (folder / plain, folder.parent / plain):
        if os.path.isfile(path):
            return os.path.relpath(path, folder)
    return None


def _size(path: Path, source: Path) -> tuple[int, int]:
    try:
        return image_size(path, source)
    except UserError:
        return -1, -1
