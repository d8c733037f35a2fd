"""Decoded pictures of a split in one memory-mapped file, which all workers and processes of a machine share.

Decoding a JPEG takes longer than augmenting it. The pixels lie in the page cache of the system, not in the memory of a
process, so that memory does not grow with the workers.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.loading.packed import PackedImages, cache_folder, source_key
from datamodules.loading.pool import Pool
from datamodules.loading.waiting_lock import waiting_lock
from lit_cv.errors import UserError

_HEADER = 4096  # bytes before the pixels, one page; the key of the files is at their start
_KIND = "decoded-1"

Decode = Callable[[int], NDArray[np.uint8]]
"""Decodes the picture of a sample, uint8 (H, W, 3) RGB."""


class CachedPictures:
    """Read access to decoded pictures by the index of a sample; pickles as the path of its file.

    Args:
        file: A file that :func:`open_pictures` has written.
        sizes: int32 (N, 2), width and height of the picture of each sample.
        starts: int64 (N,), byte of the file at which each picture starts.
    """

    def __init__(self, file: Path, sizes: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.file, self.sizes, self.starts = file, sizes, starts
        # as a plain array on the mapped memory: indexing np.memmap itself goes through Python
        self._bytes = np.memmap(file, np.uint8, mode="r").view(np.ndarray)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.file, self.sizes, self.starts)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Return a copy of the picture of a sample, uint8 (H, W, 3) RGB."""
        (width, height), start = self.sizes[index].tolist(), int(self.starts[index])
        return self._bytes[start : start + 3 * width * height].reshape(height, width, 3).copy()


def open_pictures(
    root: Path, packed: PackedImages, sizes: NDArray[np.int32], decode: Decode, *facts: object
) -> CachedPictures:
    """Open the decoded pictures of a split; decode and write them first if they are missing or a picture has changed.

    Several processes may call this at once: one of them decodes, the others wait. A process that is killed meanwhile
    leaves a partial file, which nobody reads and which the next one overwrites.

    Args:
        root: Folder that the names in ``packed`` are relative to.
        packed: The samples. Those of one picture share it.
        sizes: int32 (N, 2), width and height of each sample's picture.
        decode: Decodes the picture of a sample, in this size.
        facts: Everything else that the pixels depend on.

    Returns:
        The pictures.

    Raises:
        UserError: A picture is missing or unusable, or the disk has too little space.
    """
    _, samples, pictures = np.unique(packed.names, return_index=True, return_inverse=True)
    ends = _HEADER + np.cumsum(3 * sizes[samples].astype(np.int64).prod(axis=1))
    starts = np.concatenate([[_HEADER], ends[:-1]])
    total = int(ends[-1]) if len(ends) else _HEADER
    name = hashlib.sha256(repr((root.resolve(), facts)).encode() + packed.names.tobytes() + sizes.tobytes())
    file = cache_folder(root) / f"{_KIND}-{name.hexdigest()[:32]}.rgb"
    key = source_key(root, (root / packed.name(index) for index in samples.tolist())).encode()
    if not _is_current(file, key, total):
        with waiting_lock(file.with_suffix(".lock"), f"decodes the pictures of {root}"):
            if not _is_current(file, key, total):
                print(f"note: {len(samples)} decoded pictures take {_size(total)}: {file}", file=sys.stderr, flush=True)
                _write(file, key, total, decode, list(zip(samples.tolist(), starts.tolist(), strict=True)))
    return CachedPictures(file, np.array(sizes), starts[pictures.reshape(-1)])


def _is_current(file: Path, key: bytes, total: int) -> bool:
    try:
        with file.open("rb") as handle:
            return os.fstat(handle.fileno()).st_size == total and handle.read(len(key)) == key
    except FileNotFoundError:
        return False


def _write(file: Path, key: bytes, total: int, decode: Decode, places: list[tuple[int, int]]) -> None:
    """Write the file under another name and rename it when it is complete.

    Args:
        file: The file.
        key: Key of the pictures' files.
        total: Size of the file in bytes.
        decode: Decodes the picture of a sample.
        places: A sample of each picture, and the byte at which it starts.
    """
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)  # of a process that was killed
    free = shutil.disk_usage(file.parent).free
    full = UserError(
        f"data.cache: decoded needs {_size(total)} in {file.parent}, which has {_size(free)} free: make room, set "
        "LITCV_CACHE to a folder with more space, or leave data.cache out."
    )
    if total > free:
        raise full
    try:
        with part.open("wb") as handle, Pool() as pool:
            output = handle.fileno()
            try:
                os.posix_fallocate(output, 0, total)  # a disk that fills up later could not refuse a mapped write
            except OSError:
                raise full from None

            def work(place: tuple[int, int]) -> None:
                os.pwrite(output, decode(place[0]).tobytes(), place[1])

            for _ in tqdm(pool.map(work, places), "Decoding", len(places), unit="image", delay=2):
                pass
            os.pwrite(output, key, 0)
            os.fsync(output)  # a power cut after the renaming must not leave gaps in the pixels
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
