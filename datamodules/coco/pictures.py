"""Find the image files of a COCO set, and the sizes that its annotation file does not say."""

import os
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

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

    def of_rows(self, rows: NDArray[np.bool_]) -> "Pictures":
        """Return some of the images, bool (N,)."""
        return self._replace(images=self.images.of_rows(rows), missing=self.missing[rows])


def find_pictures(source: COCOSet, images: Images) -> Pictures:
    """Find the files of images, and the sizes that are not listed.

    A name is relative to the folder of the set. If there is no such file, ``\\`` is read as ``/``, percent-encoding is
    decoded, and the name is read as relative to the folder that holds the folder of the set. Then the longest end of
    the name that is a file in the folder of the set is taken.

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
        sizes[place] = _size(source.images / names[place], source)
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
        return os.path.normpath(name)  # ./1.png is 1.png, which may be listed as well
    path = exact_file(folder, name) or exact_file(folder.parent, name) or tail_file(folder, name)
    return None if path is None else os.path.relpath(path, folder)


def exact_file(folder: Path, name: str) -> Path | None:
    """Return the file of a name that is relative to the folder; None if there is none."""
    return next((path for reading in _readings(name) if os.path.isfile(path := folder / reading)), None)


def tail_file(folder: Path, name: str) -> Path | None:
    """Return the file in or below a folder that the longest end of a path from elsewhere names; None without one."""
    for reading in _readings(name):
        parts = [part for part in reading.split("/") if part not in ("", ".", "..")]
        for start in range(len(parts)):
            if os.path.isfile(path := folder.joinpath(*parts[start:])):  # Path.is_file raises if a name is too long
                return path
    return None


def _readings(name: str) -> Iterator[str]:
    """Yield the ways to read a file name: as it is, of Windows, of a URL, and with accents as one or two characters."""
    plain = name.replace("\\", "/")
    paths = [plain]
    if "?" in plain or "://" in plain:
        with suppress(ValueError):  # it is no URL
            url = urlsplit(plain)
            paths += [*parse_qs(url.query).get("d", []), url.path]  # d names Label Studio's local files
    for path in dict.fromkeys((*paths, *map(unquote, paths))):
        yield from dict.fromkeys((path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)))


def _size(path: Path, source: COCOSet) -> tuple[int, int]:
    try:
        return image_size(path, source.file, upright=source.upright)
    except UserError:
        return -1, -1
