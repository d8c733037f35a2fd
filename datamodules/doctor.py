"""Looking for every defect of a data set: its annotations, each of its images, and pictures in two splits."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from datamodules.base import SPLITS, DataModule
from datamodules.defects import Defect, Listed
from datamodules.loading.decode import check_size, read_image
from datamodules.loading.pool import Pool
from lit_cv.errors import UserError


class Examination(NamedTuple):
    """What was found.

    Attributes:
        images: Number of images of each split that has some.
        defects: In the order of the splits; leaks last.
    """

    images: dict[str, int]
    defects: list[Defect]


def examine(data: DataModule[Any]) -> Examination:
    """Read the annotations of all splits past their defects and decode every image.

    Two images are the same picture if their pixels are; a copy that was compressed anew is not recognized.

    Args:
        data: Fetched, but not prepared.
    """
    surveys = {split: data.survey(split) for split in SPLITS}
    every = {image.path: image for survey in surveys.values() for image in survey.images}
    with Pool() as pool:
        looks = pool.map(_look, every.values())
        looked = dict(zip(every, tqdm(looks, "Decoding", len(every), unit="image", delay=2), strict=True))
    defects: list[Defect] = []
    for survey in surveys.values():
        defects += survey.defects
        defects += [found for image in survey.images if isinstance(found := looked[image.path], Defect)]
    digests = {path: found for path, found in looked.items() if isinstance(found, bytes)}
    pictures = {split: [image.path for image in survey.images] for split, survey in surveys.items()}
    defects += _repetitions(pictures, digests)
    # An image that two splits list is told of once.
    return Examination({split: len(paths) for split, paths in pictures.items() if paths}, list(dict.fromkeys(defects)))


def _look(image: Listed) -> bytes | Defect:
    """The digest of an image's pixels, or what is wrong with it."""
    if not image.path.exists():
        return Defect(image.path, f"is missing, though {image.source} lists it: restore the image", "missing image")
    try:
        pixels = read_image(image.path)
    except UserError as error:
        return Defect.of(error, image.path, "unreadable image")
    height, width, _ = pixels.shape
    try:
        check_size(image.path, (width, height), image.size or (width, height))
    except UserError as error:
        return Defect.of(error, image.path, "image of another size")
    return hashlib.sha256(f"{width} {height} ".encode() + pixels.tobytes()).digest()


def _repetitions(pictures: Mapping[str, Sequence[Path]], digests: Mapping[Path, bytes]) -> list[Defect]:
    """Pictures that come again: in another split they are leaks, in their own they count twice."""
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
                    defects.append(Defect(path, what, "leak"))
            others.setdefault(split, path)
    return defects
