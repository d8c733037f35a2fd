"""Find every defect of a data set: in its annotations, in its image files, and images that occur twice."""

import hashlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from datamodules.base import SPLITS, DataModule
from datamodules.defects import Defect, Listed
from datamodules.loading.decode import Reading, check_size, read_image
from datamodules.loading.orientation import orientation
from datamodules.loading.pool import Pool
from lit_cv.errors import UserError

LEAK = "leak"


class Examination(NamedTuple):
    """The result of an examination.

    Attributes:
        images: Number of images of each non-empty split.
        defects: All defects and notes in the order of the splits; repeated images last.
    """

    images: dict[str, int]
    defects: list[Defect]


def examine(data: DataModule[Any]) -> Examination:
    """Read the annotations of all splits, decode every image, and collect all defects.

    Two images count as the same picture if their pixels are equal; a copy that was compressed again is not found.

    Args:
        data: The data set; fetched, but not prepared.
    """
    surveys = {split: data.survey(split) for split in SPLITS}
    every = {image.path: image for survey in surveys.values() for image in survey.images}
    with Pool() as pool:
        looks = pool.map(partial(_look, reading=data.reading), every.values())
        looked = dict(zip(every, tqdm(looks, "Decoding", len(every), unit="image", delay=2), strict=True))
    defects: list[Defect] = []
    for survey in surveys.values():
        defects += survey.defects
        defects += [defect for image in survey.images for defect in looked[image.path][1]]
    digests = {path: digest for path, (digest, _) in looked.items() if digest}
    pictures = {split: [image.path for image in survey.images] for split, survey in surveys.items()}
    defects += _repetitions(pictures, digests)
    # Defects of an image that two splits list are reported once.
    return Examination({split: len(paths) for split, paths in pictures.items() if paths}, list(dict.fromkeys(defects)))


def find_leaks(data: DataModule[Any], seconds: float) -> tuple[dict[str, int], list[Defect]] | None:
    """Look for pictures that two splits have, as ``examine`` does, within a limit of time.

    Args:
        data: The data set; fetched, but not prepared.
        seconds: Time after which the search ends without a result.

    Returns:
        The number of images of each non-empty split, and a defect for each leak; None if the time was not enough.
    """
    end = time.monotonic() + seconds
    surveys = {split: data.survey(split).images for split in SPLITS}
    every = {image.path: image for images in surveys.values() for image in images}
    digests: dict[Path, bytes] = {}
    with Pool() as pool:
        for path, (digest, _) in zip(
            every, pool.map(partial(_look, reading=data.reading), every.values()), strict=True
        ):
            if time.monotonic() > end:
                pool.shutdown(cancel_futures=True)
                return None
            if digest:
                digests[path] = digest
    pictures = {split: [image.path for image in images] for split, images in surveys.items()}
    leaks = [defect for defect in _repetitions(pictures, digests) if defect.kind == LEAK]
    return {split: len(paths) for split, paths in pictures.items() if paths}, leaks


def _look(image: Listed, reading: Reading) -> tuple[bytes | None, list[Defect]]:
    """Return the digest of an image's pixels, None if it is unusable, and its defects."""
    if not image.path.exists():
        what = f"is missing, though {image.source} lists it: restore the image"
        return None, [Defect(image.path, what, "missing image")]
    try:
        pixels = read_image(image.path, reading.upright, reading.bits)
    except UserError as error:
        return None, [Defect.of(error, image.path, "unreadable image")]
    height, width, _ = pixels.shape
    try:
        check_size(image.path, (width, height), image.size or (width, height), reading.upright)
    except UserError as error:
        return None, [Defect.of(error, image.path, "image of another size")]
    digest = hashlib.sha256(f"{width} {height} ".encode() + pixels.tobytes()).digest()
    return digest, [_turned(image, turned, reading.upright)] if (turned := orientation(image.path)) != 1 else []


def _turned(image: Listed, turned: int, upright: bool) -> Defect:
    what = f"is not stored upright (EXIF orientation {turned}): "
    if upright:
        what += (
            f"it is turned, and if the labels in {image.source} were made on the pixels as they are stored, they are "
            "wrong; then set data.exif to ignore"
        )
    else:
        what += (
            "training reads it as stored, `litcv predict` upright, and "
            f"if the labels in {image.source} were made on the upright picture, they are wrong; then set data.exif to "
            "apply"
        )
    return Defect(image.path, what, "image not upright", note=upright)


def _repetitions(pictures: Mapping[str, Sequence[Path]], digests: Mapping[Path, bytes]) -> list[Defect]:
    """Return the pictures that occur again: leaks in another split, duplicates in the same one."""
    seen: dict[bytes, dict[str, Path]] = defaultdict(dict)
    defects = []
    for split, paths in pictures.items():
        for path in paths:
            if path not in digests:
                continue
            others = seen[digests[path]]
            for other, first in others.items():
                if other == split:
                    what = f"is the same picture as {first}, in {split} as well: list one of them"
                    defects.append(Defect(path, what, "picture twice in a split"))
                else:
                    what = f"of {split} is the same picture as {first} of {other}: take it out of one of the two"
                    defects.append(Defect(path, what, LEAK))
            others.setdefault(split, path)
    return defects
