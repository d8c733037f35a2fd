"""Annotations of a whole data set in a few flat arrays, written once and memory-mapped by every process.

Python objects per image would be copied page by page into each worker as their reference counts change; a mapped
array is shared by all of them, whatever their number.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError

_ARRAYS = ("names", "sizes", "offsets", "boxes", "labels", "difficult")
_FORMAT = 1  # raise it when the arrays change, so that older caches are not read


class ImageRecord(NamedTuple):
    """What an annotation file says about one image.

    Attributes:
        name: Path of the image relative to the data set's root.
        size: Width and height in pixels.
        boxes: Corners (x1, y1, x2, y2) in pixels, as annotated: they may lie outside or have no area.
        labels: Class of each box, 1..C.
        difficult: Flag of each box.
    """

    name: str
    size: tuple[int, int]
    boxes: list[tuple[float, float, float, float]]
    labels: list[int]
    difficult: list[bool]


class PackedAnnotations:
    """Read access to packed annotations; pickles as the path of its folder.

    Args:
        folder: A folder written by :func:`open_packed`.

    Attributes:
        names: bytes (N,), path of each image relative to the root, UTF-8.
        sizes: int32 (N, 2), width and height.
        offsets: int64 (N + 1,); rows ``offsets[i]:offsets[i + 1]`` of the next three belong to image i.
        boxes: float32 (M, 4), xyxy in pixels, inside the image, with x2 > x1 and y2 > y1.
        labels: int64 (M,), 1..C.
        difficult: bool (M,).
        counts: Number of images, boxes, difficult boxes, and of the boxes that were clipped or dropped.
        fingerprint: SHA-256 of the content: names, arrays and class names.
    """

    names: NDArray[np.bytes_]
    sizes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            meta = json.loads((folder / "meta.json").read_text())
            for name in _ARRAYS:
                # as a plain array on the mapped memory: indexing np.memmap itself goes through Python
                setattr(self, name, np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray))
        except (ValueError, OSError):
            raise UserError(f"The annotation cache {folder} is damaged: delete the folder and start again.") from None
        self.counts: dict[str, int] = meta["counts"]
        self.fingerprint: str = meta["fingerprint"]

    def __len__(self) -> int:
        return len(self.sizes)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedAnnotations, (self.folder,)

    def name(self, index: int) -> str:
        """Path of image ``index`` relative to the root."""
        return bytes(self.names[index]).decode()

    def rows(self, index: int) -> slice:
        """The rows of ``boxes``, ``labels`` and ``difficult`` that belong to image ``index``."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


def open_packed(
    cache: Path, key: str, records: Callable[[], Iterable[ImageRecord]], class_names: Sequence[str]
) -> PackedAnnotations:
    """Open the cached annotations, after packing them if they are not there yet.

    Several processes may do so at once: each writes a folder of its own and the first to rename it wins.

    Args:
        cache: Folder of all caches, see :func:`cache_folder`.
        key: Fingerprint of the sources, see :func:`source_key`.
        records: Parses the sources; called only if nothing is cached.
        class_names: Names of labels 1..C.

    Returns:
        The packed annotations.
    """
    folder = cache / f"annotations-{_FORMAT}-{key}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache))
        try:
            _write(temporary, records(), class_names)
            temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
            os.rename(temporary, folder)
        except OSError:
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return PackedAnnotations(folder)


def _write(folder: Path, records: Iterable[ImageRecord], class_names: Sequence[str]) -> None:
    images = list(records)
    sizes = np.array([image.size for image in images], dtype=np.int32).reshape(-1, 2)
    lengths = np.array([len(image.boxes) for image in images], dtype=np.int64)
    boxes = np.array([box for image in images for box in image.boxes], dtype=np.float32).reshape(-1, 4)
    labels = np.array([label for image in images for label in image.labels], dtype=np.int64)
    difficult = np.array([flag for image in images for flag in image.difficult], dtype=np.bool_)

    limits = np.repeat(np.tile(sizes, 2), lengths, axis=0).astype(np.float32)
    clipped = np.clip(boxes, 0, limits)
    valid = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    owners = np.repeat(np.arange(len(images)), lengths)[valid]
    arrays = {
        "names": np.array([image.name.encode() for image in images], dtype=np.bytes_),
        "sizes": sizes,
        "offsets": np.searchsorted(owners, np.arange(len(images) + 1)).astype(np.int64),
        "boxes": clipped[valid],
        "labels": labels[valid],
        "difficult": difficult[valid],
    }
    counts = {
        "images": len(images),
        "boxes": int(valid.sum()),
        "difficult": int(difficult[valid].sum()),
        "clipped": int(((clipped != boxes).any(axis=1) & valid).sum()),
        "dropped": int((~valid).sum()),
    }
    digest = hashlib.sha256("\0".join(class_names).encode())
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        digest.update(f"{name} {array.shape} {array.dtype.str}".encode() + array.tobytes())
    (folder / "meta.json").write_text(json.dumps({"counts": counts, "fingerprint": digest.hexdigest()}))


def source_key(root: Path, files: Iterable[Path], *facts: object) -> str:
    """A quick key of the files that annotations are parsed from: it changes whenever one of them does.

    Args:
        root: Folder that the files' names are taken relative to.
        files: The sources.
        facts: Whatever else the parsed result depends on.

    Returns:
        32 hexadecimal digits.

    Raises:
        UserError: If a file is missing.
    """
    digest = hashlib.sha256(repr(facts).encode())
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            raise UserError(f"{file} is missing: restore it, or take it out of the image list.") from None
        digest.update(f"{os.path.relpath(file, root)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def cache_folder(root: Path) -> Path:
    """Where caches go: ``$LITCV_CACHE``, else the user's cache folder, else ``<root>/.litcv_cache``.

    The data set's folder comes last because it is often shared by many.
    """
    if given := os.environ.get("LITCV_CACHE"):
        return Path(given)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(folder for folder in (base, *base.parents) if folder.exists())
    return base / "litcv" if os.access(existing, os.W_OK) else root / ".litcv_cache"
