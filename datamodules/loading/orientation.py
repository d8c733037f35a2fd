"""The EXIF orientation of images: training reads pixels as they are stored, ``litcv predict`` turns them upright."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

SIDEWAYS = (5, 6, 7, 8)
"""Orientations in which the upright image has the other width and height."""

_TAG = 0x0112
_EXAMINED = 256


def orientation(path: Path) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 (upright as stored) if the file does not say."""
    try:
        with Image.open(path) as image:
            value = image.getexif().get(_TAG, 1)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError):
        return 1  # an unreadable image is an error of its own
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned_images(root: Path, names: Sequence[str]) -> list[str]:
    """Return a sentence about the images that are not stored upright; none if all of them are.

    At most 256 images are examined, so that a large data set does not start later.

    Args:
        root: Folder that the names are relative to.
        names: The training images.
    """
    unique = list(dict.fromkeys(names))
    examined = unique[:: -(-len(unique) // _EXAMINED) or 1]
    turned = [root / name for name in examined if orientation(root / name) != 1]
    if not turned:
        return []
    return [
        f"{len(turned)} of {len(examined)} training images that were examined are not stored upright (EXIF orientation "
        f"{orientation(turned[0])} of {turned[0]}, ...). Training reads pixels as they are stored, `litcv predict` "
        "turns them upright. If the labels were made on upright pictures, they are wrong here: turn the pixels of the "
        "files first, for example with `mogrify -auto-orient`."
    ]
