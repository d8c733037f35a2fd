"""All defects of an annotation file of COCO, for `litcv doctor`."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from datamodules.coco.checks import category_errors, disagreement, errors, folder_errors, repairs
from datamodules.coco.files import Categories, COCOSet, Facts, read_categories, read_file
from datamodules.defects import Defect, Listed, Survey
from lit_cv.errors import UserError


def survey_set(source: COCOSet, first: COCOSet, masks: bool, keypoints: bool) -> Survey:
    """Read a set and collect its defects.

    Args:
        source: The set.
        first: The set whose categories all others must have.
        masks: Whether the segmentations are used.
        keypoints: Whether the joints are used.

    Raises:
        UserError: If the annotation file cannot be read at all.
    """
    defects: list[Defect] = []
    file = read_file(source.file, masks, keypoints, defects.append)
    defects += errors(source.file, file, keypoints)
    defects += _disagreement(source.file, file.categories, first.file, keypoints)
    defects += repairs(source, file)
    if missing := list(folder_errors(source)):
        return Survey([], defects + missing)
    sizes = dict(zip(file.images.names, map(tuple, file.images.sizes.tolist()), strict=True))
    return Survey([Listed(source.images / name, size, source.file) for name, size in sizes.items()], defects)


def _disagreement(path: Path, categories: Categories, first: Path, keypoints: bool) -> Iterator[Defect]:
    """Compare the categories with those of the first file, unless either are unusable, which is a defect of its own."""
    with suppress(UserError):
        expected = read_categories(first)
        if not any((*category_errors(path, categories, keypoints), *category_errors(first, expected, keypoints))):
            yield from disagreement(path, Facts.of(categories, keypoints), first, Facts.of(expected, keypoints))
