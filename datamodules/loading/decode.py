"""Read images with OpenCV as uint8 RGB; truncated files are refused."""

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from datamodules.loading.depth import as_8_bits, may_be_deep
from datamodules.loading.orientation import SIDEWAYS, orientation, orientation_of
from lit_cv.errors import UserError

# Pillow takes larger images for an attack on a web server. It warns above this number and refuses twice of it, which is
# what OpenCV decodes at most.
Image.MAX_IMAGE_PIXELS = 2**29

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in coded pixels, only a zero or a restart follows \xff
_PNG_START, _PNG_END = b"\x89PNG", b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class Reading:
    """The way in which the image files of a data set are read.

    Attributes:
        upright: Whether to rotate images as their EXIF orientation says; annotations then refer to the upright image.
        bits: Number of bits that images of 16 bits use, see :func:`as_8_bits`.
    """

    upright: bool = False
    bits: int | None = None


def read_image(path: Path, upright: bool = False, bits: int | None = None) -> NDArray[np.uint8]:
    """Decode an image file; gray and CMYK images become RGB.

    Args:
        path: The file: JPEG, PNG or another format that OpenCV reads.
        upright: Rotate the image as its EXIF orientation says. Leave it off if annotations refer to the pixels as
            stored.
        bits: Number of bits that an image of 16 bits uses, see :func:`as_8_bits`.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        UserError: If the file is missing, is no image or is truncated (OpenCV would fill the missing part with gray).
    """
    data = read_whole(path)
    flags = cv2.IMREAD_COLOR_RGB if upright else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    if may_be_deep(data):
        flags |= cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{path} is not an image that can be decoded{_content(data)}: replace or remove the file.")
    if image.dtype == np.uint16:
        return as_8_bits(path, np.asarray(image, dtype=np.uint16), bits)
    return np.asarray(image, dtype=np.uint8)


def read_whole(path: Path) -> bytes:
    """Read the bytes of an image file.

    Raises:
        UserError: If the file cannot be read or is truncated.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore the file or its permissions.") from None
    if is_truncated(data):
        raise UserError(f"{path} is truncated: its end is missing; fetch the file again.")
    return data


def _content(data: bytes) -> str:
    """Return, in brackets, what a file that is no image holds; empty if that is not plain."""
    if not data:
        return " (it is empty)"
    if data.startswith(b"version https://git-lfs"):
        return " (it is a pointer of Git LFS, `git lfs pull` fetches the image)"
    return " (it holds text, such as a web page)" if data.lstrip()[:1] == b"<" else ""


def is_truncated(data: bytes) -> bool:
    """Return whether a JPEG or PNG file lacks its end marker (False for other formats).

    Bytes behind the end, and the end of an embedded thumbnail, do not matter.
    """
    if data.startswith(_JPEG_START):
        return not data.endswith(_JPEG_END) and not _jpeg_ends(data)
    return data.startswith(_PNG_START) and _PNG_END not in data


def _jpeg_ends(data: bytes) -> bool:
    """Go from marker to marker of a JPEG and return whether its end is among them."""
    place = len(_JPEG_START)
    while marker := _JPEG_MARKER.search(data, place):
        if marker[0] == _JPEG_END:
            return True
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def image_size(path: Path, source: Path, whole: bool = False, upright: bool = False) -> tuple[int, int]:
    """Return width and height of an image in pixels, without decoding it.

    Args:
        path: The image.
        source: The annotation file that names it.
        whole: Also check that the file is not truncated, which reads all of it.
        upright: Whether to return the size of the upright image.

    Raises:
        UserError: If the file is missing, truncated, or no image.
    """
    if not path.exists():
        raise UserError(f"{path} is missing, though {source} describes it: restore the image.")
    try:
        with Image.open(BytesIO(read_whole(path)) if whole else path) as image:
            return image.size[::-1] if upright and orientation_of(image) in SIDEWAYS else image.size
    except UnidentifiedImageError:
        raise UserError(f"{path} is not a readable image{_content(path.read_bytes())}: replace the file.") from None
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is not a readable image ({error}): replace the file.") from None


def check_size(path: Path, found: tuple[int, int], expected: tuple[int, int], upright: bool = False) -> None:
    """Compare an image's (width, height) with its annotation's.

    Args:
        path: The image.
        found: The size of the image as it is read.
        expected: The size that its annotation says.
        upright: Whether it is read upright.

    Raises:
        UserError: If they differ.
    """
    if found == expected:
        return
    stored, annotated = (f"{width}x{height}" for width, height in (found, expected))
    if found == expected[::-1] and (turned := orientation(path)) in SIDEWAYS:
        if upright:
            raise UserError(
                f"{path} is {stored} pixels upright and {annotated} as stored (EXIF orientation {turned}), and its "
                "annotation is for the picture as it is stored: set data.exif to ignore."
            )
        raise UserError(
            f"{path} is {stored} pixels as stored and {annotated} upright (EXIF orientation {turned}), and its "
            "annotation is for the upright picture: set data.exif to apply."
        )
    raise UserError(
        f"{path} is {stored} pixels but its annotation says {annotated}: restore the original image or fix the "
        "annotation."
    )
