"""The part of an annotation file that a split takes."""

import numpy as np

from datamodules.coco.files import COCOSet, Own
from datamodules.coco.own.classes import by_name, class_notes, expected_categories, other_joints
from datamodules.coco.pictures import Pictures
from datamodules.coco.tables import File
from datamodules.defects import Defect, Report
from datamodules.splits import split_names


def own_part(
    source: COCOSet, own: Own, file: File, pictures: Pictures, keypoints: bool, report: Report
) -> tuple[File, Pictures, list[Defect]]:
    """Match the classes of a file with those of the others by their names, and take the images of the split.

    Args:
        source: The set.
        own: Its part.
        file: Its content.
        pictures: Its images.
        keypoints: Whether objects have joints.
        report: Receives a defect if the joints differ.

    Returns:
        The part, its images, and notes.

    Raises:
        UserError: If nothing is left to train on after a division.
    """
    expected = expected_categories(source, file, own)
    for defect in other_joints(source, file, expected, keypoints):
        report(defect)
    file = by_name(file, expected)
    if own.split is not None:
        names = file.images.names
        taken = set(split_names(names, own.split)[own.name])
        rows = np.array([name in taken for name in names], dtype=np.bool_)
        file, pictures = file.of_images(rows), pictures.of_rows(rows)
    return file, pictures, list(class_notes(source, file))
