"""The EXIF orientation of images: ``data.exif`` says whether they are read as stored or upright."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

SIDEWAYS = (5, 6, 7, 8)
"""Orientations in which the upright image has the other width and height."""

_TAG = 0x0112
EXAMINED = 256


def orientation(path: Path) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 (upright as stored) if the file does not say."""
    try:
        with Image.open(path) as image:
            return orientation_of(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError):
        return 1  # an unreadable image is an error of its own


def orientation_of(image: Image.Image) -> int:
    """Return the orientation of an open image, see :func:`orientation`."""
    if image.format == "TIFF":
        return 1  # OpenCV and Pillow read TIFF upright in any case
    value = image.getexif().get(_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned_images(root: Path, names: Sequence[str], upright: bool = False) -> list[str]:
    """Return a sentence about the images that are not stored upright; none if all of them are.

    At most 256 images are examined, so that a large data set does not start later.

    Args:
        root: Folder that the names are relative to.
        names: The training images.
        upright: Whether they are read upright.
    """
    examined = some(names)
    turned = [root / name for name in examined if orientation(root / name) != 1]
    if not turned:
        return []
    found = (
        f"{len(turned)} of {len(examined)} training images that were examined are not stored upright (EXIF orientation "
        f"{orientation(turned[0])} of {turned[0]}, ...)."
    )
    if upright:
        return [
            f"{found} They are turned upright, as labeling tools show them. If the labels were made on the pixels as "
            "they are stored, set data.exif to ignore."
        ]
    return [
        f"{found} Training reads pixels as they are stored, `litcv predict` turns them upright. If the labels were "
        "made on upright pictures, they are wrong here: set data.exif to apply."
    ]


def some(names: Sequence[str]) -> list[str]:
    """Return at most 256 of the different names, evenly spread."""
    unique = list(dict.fromkeys(names))
    return unique[:: -(-len(unique) // EXAMINED) or 1]
