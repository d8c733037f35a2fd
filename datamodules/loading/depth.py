"""Images of 16 bits a channel, as 8 bits."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.loading.orientation import some
from lit_cv.errors import UserError

_PNG_START, _PNG_BITS = b"\x89PNG", 24  # the byte of the bit depth
_TIFF_BITS = 258  # BitsPerSample
_SHALLOW = (b"\xff\xd8", b"GIF8", b"BM", b"RIFF")  # the start of files that cannot have 16 bits


def may_be_deep(data: bytes) -> bool:
    """Return whether an image file, or its first 25 bytes, may have 16 bits a channel."""
    if data.startswith(_PNG_START):
        return len(data) > _PNG_BITS and data[_PNG_BITS] == 16
    return not data.startswith(_SHALLOW)


def as_8_bits(path: Path, image: NDArray[np.uint16], bits: int | None) -> NDArray[np.uint8]:
    """Return an image of 16 bits, of any shape, as uint8.

    Args:
        path: Its file.
        image: The values.
        bits: Number of bits that the values use, 8 to 16: 2**bits - 1 becomes 255. None takes as many as the largest
            value of this image needs.

    Raises:
        UserError: If a value has more bits.
    """
    needed = max(8, int(image.max(initial=0)).bit_length())
    if bits is not None and needed > bits:
        raise UserError(f"{path} has values of {needed} bits, but data.bits is {bits}: set it to {needed} or more.")
    scaled: NDArray[np.uint8] = _table(bits or needed)[image]
    return scaled


@cache
def _table(bits: int) -> NDArray[np.uint8]:
    top = 2**bits - 1
    table: NDArray[np.uint8] = ((np.arange(2**16).clip(max=top) * 255 + top // 2) // top).astype(np.uint8)
    return table


def deep_images(root: Path, names: Sequence[str], bits: int | None) -> list[str]:
    """Return a sentence about the images of 16 bits a channel; none if there are none.

    At most 256 images are examined.

    Args:
        root: Folder that the names are relative to.
        names: The training images.
        bits: See :func:`as_8_bits`.
    """
    examined = some(names)
    deep = [root / name for name in examined if _has_16_bits(root / name)]
    if not deep:
        return []
    scale = (
        f"{bits} bits are scaled to 8 (data.bits)"
        if bits
        else "each is scaled to 8 bits by as many bits as its largest value needs; set data.bits to scale all alike"
    )
    return [
        f"{len(deep)} of {len(examined)} training images that were examined have 16 bits ({deep[0]}, ...): {scale}."
    ]


def _has_16_bits(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(_PNG_BITS + 1)
        if start.startswith(_PNG_START) or not may_be_deep(start):
            return may_be_deep(start)
        with Image.open(path) as image:
            depth = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))
            return image.mode.startswith("I;16") or 16 in np.atleast_1d(depth)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False  # an unreadable image is an error of its own
