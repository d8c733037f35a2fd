"""All defects of an annotation file of COCO, for ``litcv doctor``."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from datamodules.coco.categories import Facts, category_errors, disagreement
from datamodules.coco.checks import errors, folder_errors, notes, repairs, usable_objects
from datamodules.coco.files import COCOSet, read_categories, read_file
from datamodules.coco.own.classes import without_others
from datamodules.coco.own.parts import own_part
from datamodules.coco.pictures import find_pictures
from datamodules.coco.tables import Categories
from datamodules.defects import Defect, Listed, Survey
from lit_cv.errors import UserError


def survey_set(source: COCOSet, first: Path, masks: bool, keypoints: bool) -> tuple[Survey, dict[str, int]]:
    """Read a set and collect its defects.

    Args:
        source: The set.
        first: The annotation file whose categories all others must have.
        masks: Whether the segmentations are used.
        keypoints: Whether the joints are used.

    Returns:
        The survey, and the counts of :class:`datamodules.coco.checks.Usable`.

    Raises:
        UserError: If the annotation file cannot be read at all.
    """
    defects: list[Defect] = []
    file, left_out = without_others(source, read_file(source.file, masks, keypoints, defects.append))
    defects += left_out
    pictures = find_pictures(source, file.images)
    file = file._replace(images=pictures.images)
    defects += errors(source.file, file, keypoints)
    if source.own is None:
        defects += _disagreement(source.file, file.categories, first, keypoints)
    defects += repairs(source, file)
    defects += notes(source, file, pictures, keypoints)
    if source.own:
        file, pictures, told = own_part(source, source.own, file, pictures, keypoints, defects.append)
        defects += told
    counts = usable_objects(file).counts
    if missing := list(folder_errors(source)):
        return Survey([], defects + missing), counts
    sizes = dict(zip(file.images.names, map(tuple, file.images.sizes.tolist()), strict=True))
    images = [Listed(source.images / name, size if size[0] > 0 else None, source.file) for name, size in sizes.items()]
    return Survey(images, defects), counts


def _disagreement(path: Path, categories: Categories, first: Path, keypoints: bool) -> Iterator[Defect]:
    """Compare the categories with those of the first file, unless either are unusable, which is a defect of its own."""
    with suppress(UserError):
        expected = read_categories(first)
        if not any((*category_errors(path, categories, keypoints), *category_errors(first, expected, keypoints))):
            yield from disagreement(path, Facts.of(categories, keypoints), first, Facts.of(expected, keypoints))
