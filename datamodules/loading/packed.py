"""The annotations of a whole data set in a few flat arrays, written once and memory-mapped by every process.

Python objects would be copied page by page into each worker as their reference counts change; all workers share a
mapped array.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.loading.new_folder import new_folder
from lit_cv.errors import UserError


class Content(NamedTuple):
    """The content of a packed data set.

    Attributes:
        arrays: One array for each of the kind's ``ARRAYS``.
        counts: Counts for the run's record: images, clipped boxes, dropped boxes, ...
        notes: Sentences that each run says once, such as the number of objects that were left out.
    """

    arrays: dict[str, NDArray[Any]]
    counts: dict[str, int]
    notes: tuple[str, ...] = ()


class Packed:
    """Read access to packed arrays; pickles as the path of its folder. A kind of data set is a subclass.

    Args:
        folder: A folder written by :func:`open_packed`.

    Attributes:
        KIND: Name and version of the layout; raise the version when the arrays change, so that older caches are unused.
        ARRAYS: Names of the arrays, each an attribute. The first is ``names``, bytes (N,): the path of each image
            relative to the root, UTF-8.
        counts: See :class:`Content`.
        notes: See :class:`Content`.
        fingerprint: SHA-256 of the content: the arrays, and the facts that they were packed with.
    """

    KIND: ClassVar[str]
    ARRAYS: ClassVar[tuple[str, ...]]
    names: NDArray[np.bytes_]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            meta = json.loads((folder / "meta.json").read_text())
            for name in self.ARRAYS:
                # as a plain array on the mapped memory: indexing np.memmap itself goes through Python
                setattr(self, name, np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray))
        except (ValueError, OSError):
            raise UserError(f"The annotation cache {folder} is damaged: delete the folder and start again.") from None
        self.counts: dict[str, int] = meta["counts"]
        self.notes: list[str] = meta.get("notes", [])  # caches from before there were notes lack them
        self.fingerprint: str = meta["fingerprint"]

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder,)

    def name(self, index: int) -> str:
        """Return the path of image ``index`` relative to the root."""
        return bytes(self.names[index]).decode()


class PackedImages(Packed):
    """Packed annotations of images of known size.

    Attributes:
        sizes: int32 (N, 2), width and height of each image in pixels.
    """

    sizes: NDArray[np.int32]


P = TypeVar("P", bound=Packed)


def open_packed(kind: type[P], cache: Path, key: str, build: Callable[[], Content], *facts: str) -> P:
    """Open the cached arrays; pack them first if they are not cached yet.

    Several processes may call this at once: each writes a folder of its own, and the first to rename it wins.

    Args:
        kind: Kind of the packed data.
        cache: Folder of all caches, see :func:`cache_folder`.
        key: Fingerprint of the sources, see :func:`source_key`.
        build: Parses the sources; called only if nothing is cached.
        facts: Facts that the content's fingerprint covers besides the arrays, for example the names of the classes.

    Returns:
        The packed arrays.
    """
    folder = cache / f"{kind.KIND}-{key}"
    if not folder.exists():
        with new_folder(folder) as temporary:
            _write(temporary, kind, build(), facts)
    return kind(folder)


def _write(folder: Path, kind: type[Packed], content: Content, facts: Iterable[str]) -> None:
    digest = hashlib.sha256("\0".join(facts).encode())
    for name in kind.ARRAYS:
        array = content.arrays[name]
        np.save(folder / f"{name}.npy", array)
        digest.update(f"{name} {array.shape} {array.dtype.str}".encode() + array.tobytes())
    meta = {"counts": content.counts, "notes": content.notes, "fingerprint": digest.hexdigest()}
    (folder / "meta.json").write_text(json.dumps(meta))


def as_bytes(texts: Iterable[str]) -> NDArray[np.bytes_]:
    """Return texts as an array of UTF-8 bytes."""
    return np.array([text.encode() for text in texts], dtype=np.bytes_)


def offsets_of(owners: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the offsets of rows that are sorted by their owner.

    Args:
        owners: int64 (M,), ascending, the owner of each row.
        count: Number N of owners.

    Returns:
        int64 (N + 1,); rows ``offsets[i]:offsets[i + 1]`` belong to owner i.
    """
    return np.searchsorted(owners, np.arange(count + 1)).astype(np.int64)


def source_key(root: Path, files: Iterable[Path], *facts: object) -> str:
    """Return a quick key of the files that annotations are parsed from; it changes when a file does.

    Args:
        root: Folder that the files' names are relative to in the key.
        files: The sources.
        facts: Everything else that the parsed result depends on.

    Returns:
        32 hexadecimal digits.

    Raises:
        UserError: If a file is missing.
    """
    digest = hashlib.sha256(repr(facts).encode())
    for file in files:
        size, changed = stat_of(file)
        digest.update(f"{os.path.relpath(file, root)} {size} {changed}\n".encode())
    return digest.hexdigest()[:32]


def stat_of(file: Path) -> tuple[int, int]:
    """Return a file's size in bytes and modification time in nanoseconds.

    Raises:
        UserError: If the file is missing.
    """
    try:
        stat = file.stat()
    except OSError:
        raise UserError(f"{file} is missing: restore it, or take it out of the image list.") from None
    return stat.st_size, stat.st_mtime_ns


def cache_folder(root: Path) -> Path:
    """Return the folder of caches: ``$LITCV_CACHE``, else the user's cache folder, else ``<root>/.litcv_cache``.

    The data set's folder comes last because many users often share it.
    """
    if given := os.environ.get("LITCV_CACHE"):
        return Path(given)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(folder for folder in (base, *base.parents) if folder.exists())
    return base / "litcv" if os.access(existing, os.W_OK) else root / ".litcv_cache"
