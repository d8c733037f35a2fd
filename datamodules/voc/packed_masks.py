"""The class masks of a whole data set, packed as runs of equal pixels."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.loading.packed import Content, PackedImages, as_bytes, open_packed

VOID = 255
Mask = NDArray[np.uint8]


class MaskRecord(NamedTuple):
    """One image and its mask, row by row as runs of equal pixels.

    Attributes:
        name: Path of the image relative to the data set's root.
        size: Width and height in pixels.
        values: uint8 (R,), the class of each run: 0 background, 1..C, 255 void.
        lengths: uint32 (R,), pixels of each run.
    """

    name: str
    size: tuple[int, int]
    values: NDArray[np.uint8]
    lengths: NDArray[np.uint32]


class PackedMasks(PackedImages):
    """Packed masks: unpacking one opens no file and takes a tenth of the time of decoding its PNG.

    Attributes:
        offsets: int64 (N + 1,); runs ``offsets[i]:offsets[i + 1]`` belong to image i.
        values: uint8 (R,), class of each run.
        lengths: uint32 (R,), pixels of each run.
        counts: Number of images, and of images left out because all of their pixels are void.
    """

    KIND: ClassVar[str] = "masks-2"
    ARRAYS: ClassVar[tuple[str, ...]] = ("names", "sizes", "offsets", "values", "lengths")
    offsets: NDArray[np.int64]
    values: NDArray[np.uint8]
    lengths: NDArray[np.uint32]

    def mask(self, index: int) -> Mask:
        """Return a copy of the mask of image ``index``, uint8 (H, W)."""
        runs = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        width, height = self.sizes[index].tolist()
        return np.repeat(self.values[runs], self.lengths[runs]).reshape(height, width)


def runs_of(mask: Mask) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return values and lengths of the runs of equal pixels of a mask (H, W), row by row."""
    pixels = mask.reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    return pixels[starts], np.diff(starts, append=pixels.size).astype(np.uint32)


def open_masks(
    cache: Path, key: str, records: Callable[[], Iterable[MaskRecord]], class_names: Sequence[str]
) -> PackedMasks:
    """Open the cached masks; read and pack them first if they are not cached yet; see :func:`open_packed`."""
    return open_packed(PackedMasks, cache, key, lambda: _pack(records()), *class_names)


def _pack(records: Iterable[MaskRecord]) -> Content:
    images, void = [], 0
    for record in records:
        if (record.values == VOID).all():
            void += 1
        else:
            images.append(record)
    offsets = np.cumsum([0, *(len(image.values) for image in images)], dtype=np.int64)
    arrays = {
        "names": as_bytes(image.name for image in images),
        "sizes": np.array([image.size for image in images], dtype=np.int32).reshape(-1, 2),
        "offsets": offsets,
        "values": np.concatenate([np.zeros(0, np.uint8), *(image.values for image in images)]),
        "lengths": np.concatenate([np.zeros(0, np.uint32), *(image.lengths for image in images)]),
    }
    notes = [f"{void} of {void + len(images)} masks are void everywhere, so their images are left out."] if void else []
    return Content(arrays, {"images": len(images), "void": void}, tuple(notes))
