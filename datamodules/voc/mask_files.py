"""Class masks in files: the palette PNGs of Pascal VOC and the .mat files of SBD."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.loading.decode import check_size, image_size, read_whole
from datamodules.loading.matlab import read_variable
from datamodules.loading.orientation import SIDEWAYS, orientation
from datamodules.loading.text import read_text
from datamodules.voc.files import image_file, relative_name
from datamodules.voc.packed_masks import VOID, Mask, MaskRecord, runs_of
from lit_cv.errors import UserError
from lit_cv.ops.palette import voc_colors


class MaskedImage(NamedTuple):
    """The files of an image with a mask.

    Attributes:
        image_id: Identifies the photograph in all releases.
        picture: The image file.
        mask: Its mask: PNG, or SBD's .mat.
    """

    image_id: str
    picture: Path
    mask: Path


def voc_image(devkit: Path, year: str, image: str) -> MaskedImage:
    """Return the files of an image of a VOCdevkit.

    Args:
        devkit: The VOCdevkit folder.
        year: ``VOC<year>``.
        image: Its id in that release; since VOC2008 ids begin with a year, and 2007_000032 is VOC2007's 000032.
    """
    image_id = image if "_" in image else f"{year.removeprefix('VOC')}_{image}"
    mask = devkit / year / "SegmentationClass" / f"{image}.png"
    return MaskedImage(image_id, image_file(devkit.parent, year, image), mask)


def sbd_images(root: Path, name: str) -> list[MaskedImage]:
    """Return the files of the images of a list of SBD, in the list's order.

    Args:
        root: Folder that holds ``benchmark_RELEASE``.
        name: The list, a file ``<name>.txt`` in ``benchmark_RELEASE/dataset``.

    Raises:
        UserError: If the list is missing or empty.
    """
    folder = root / "benchmark_RELEASE" / "dataset"
    file = folder / f"{name}.txt"
    if not file.is_file():
        there = ", ".join(sorted(f"sbd_{found.stem}" for found in folder.glob("*.txt")))
        raise UserError(f"The image list {file} of SBD is missing: choose another set ({there or 'none there'}).")
    images = read_text(file).split()
    if not images:
        raise UserError(f"The image list {file} is empty: restore it or choose another set.")
    return [MaskedImage(image, folder / "img" / f"{image}.jpg", folder / "cls" / f"{image}.mat") for image in images]


class Coding(NamedTuple):
    """The meaning of the pixels of masks.

    Attributes:
        values: Values that differ from the class of their pixels, and this class.
        colors: The color (RGB) of each class, also of 0 (background) and 255 (void); empty if pixels are indices.
        classes: The words for the list of the classes.
    """

    values: Mapping[int, int] = MappingProxyType({})
    colors: Mapping[int, tuple[int, int, int]] = MappingProxyType({})
    classes: str = "VOCdevkit/classes.txt"


INDICES = Coding()


def read_mask_record(
    root: Path, image: MaskedImage, num_classes: int, coding: Coding = INDICES, upright: bool = False
) -> MaskRecord:
    """Read and check a mask, and check that its image is complete and has the same size.

    Args:
        root: Folder that the record's name is relative to.
        image: The files.
        num_classes: Number of classes without the background.
        coding: The meaning of its pixels.
        upright: Whether the image is read upright; its mask is upright then.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    mask = read_mask(image.mask, num_classes, coding)
    size = mask.shape[1], mask.shape[0]
    expected = image_size(image.picture, image.mask, whole=True, upright=upright)
    if size == expected[::-1] and orientation(image.picture) in SIDEWAYS:
        check_size(image.picture, expected, size, upright)
    if size != expected:
        raise UserError(
            f"{image.mask} is {size[0]}x{size[1]} pixels but its image {image.picture} is {expected[0]}x{expected[1]}: "
            "restore the original mask and image."
        )
    return MaskRecord(relative_name(image.picture, root), size, *runs_of(mask))


def read_mask(path: Path, num_classes: int, coding: Coding = INDICES) -> Mask:
    """Read a mask, uint8 (H, W); its image is not needed.

    Args:
        path: PNG, or SBD's .mat.
        num_classes: Number of classes without the background.
        coding: The meaning of its pixels.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    if coding.colors and path.suffix != ".mat":
        return _from_colors(path, coding.colors)
    stored = _read_mat(path) if path.suffix == ".mat" else _read_png(path)
    mask = stored.copy() if coding.values else stored
    for value, label in coding.values.items():
        mask[stored == value] = label
    present = np.flatnonzero(np.bincount(mask.reshape(-1)))
    unknown = present[(present > num_classes) & (present != VOID)]
    if unknown.size:
        raise UserError(
            f"{path} has the index {unknown[0]}, but classes are 0..{num_classes} and void is {VOID}: fix the mask, "
            f"list the missing classes in {coding.classes}, or set mask_values, such as {{{unknown[0]}: 1}}."
        )
    return np.asarray(mask, dtype=np.uint8)


def _from_colors(path: Path, colors: Mapping[int, tuple[int, int, int]]) -> Mask:
    """Return the classes that the colors of a mask show, (H, W)."""
    data = read_whole(path)
    try:
        with Image.open(BytesIO(data)) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.int32)
    except Exception as error:  # as below
        raise UserError(f"{path} is not a readable mask ({error}): restore the file.") from None
    codes = pixels @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    known = {(red << 16) + (green << 8) + blue: label for label, (red, green, blue) in colors.items()}
    found, places = np.unique(codes, return_inverse=True)
    for code in found.tolist():
        if code not in known:
            color, count = [code >> 16, code >> 8 & 255, code & 255], int((codes == code).sum())
            raise UserError(
                f"{path} has the color {color} ({count} pixels), which the palette of the classes lacks: name its "
                "class with data.palette, or fix the mask."
            )
    return np.array([known[code] for code in found.tolist()], dtype=np.uint8)[places].reshape(codes.shape)


def _read_png(path: Path) -> NDArray[np.integer]:
    """Return the palette indices or gray values of a PNG of 1 to 16 bits, (H, W); its palette's colors are ignored."""
    data = read_whole(path)
    try:
        with Image.open(BytesIO(data)) as image:
            mode, raw = image.mode, str(image.tile[0][3])
            indices = np.asarray(image)
    except Exception as error:  # on damaged files Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
        raise UserError(f"{path} is not a readable mask ({error}): restore the file.") from None
    if mode == "1":
        return indices.astype(np.uint8)
    if mode in ("RGB", "RGBA", "LA") and "16" not in raw:  # of 16 bits Pillow would keep the upper 8
        return _gray(path, indices)
    if mode not in ("P", "L", "I", "I;16", "I;16B"):
        raise UserError(
            f"{path} has colors (mode {mode}) instead of class indices: use the original palette PNG, or convert it, "
            "or name the color of each class with data.palette."
        )
    return indices if indices.dtype == np.uint8 else indices.astype(np.int32)


def _gray(path: Path, pixels: Mask) -> Mask:
    """Return the one channel (H, W) of a gray mask saved in color, uint8 (H, W, 2 to 4)."""
    colors, alpha = (pixels, None) if pixels.shape[2] == 3 else (pixels[..., :-1], pixels[..., -1])
    if alpha is not None and (alpha != 255).any():
        raise UserError(f"{path} has transparent pixels: save it without alpha, as a palette or gray PNG of indices.")
    if (colored := (colors != colors[..., :1]).any(axis=2)).any():
        color = colors[colored][0]
        known = np.flatnonzero((voc_colors() == color).all(axis=1))
        meant = f", VOC's color of index {known[0]}," if known.size else ""
        raise UserError(
            f"{path} has colors such as {tuple(color.tolist())}{meant} instead of class indices: use the original "
            "palette PNG, or convert it, or name the color of each class with data.palette."
        )
    return np.ascontiguousarray(colors[..., 0])


def _read_mat(path: Path) -> Mask:
    """Return ``GTcls.Segmentation`` of a MATLAB file, uint8 (H, W)."""
    data = read_whole(path)
    try:
        mask = np.asarray(read_variable(data, "GTcls")[0, 0]["Segmentation"])
    except Exception as error:  # on damaged files the reader raises many kinds of errors
        raise UserError(f"{path} holds no GTcls.Segmentation that can be read ({error}): restore the file.") from None
    if mask.dtype != np.uint8 or mask.ndim != 2 or not mask.size:
        raise UserError(f"{path}: GTcls.Segmentation is {mask.dtype} {mask.shape}, not uint8 (H, W): restore the file.")
    return np.ascontiguousarray(mask)
