"""Colors of classes and instances."""

import cv2
import numpy as np
import pytest

from lit_cv.ops.palette import distinct_colors, strong_color


def distances(numbers):
    """Return the distances in CIELAB of all pairs; 2.3 is a just noticeable difference."""
    colors = np.array([[strong_color(number) for number in numbers]], np.float32) / 255
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)[0]
    rows, columns = np.triu_indices(len(lab), 1)
    return np.linalg.norm(lab[rows] - lab[columns], axis=1)


@pytest.mark.parametrize(("classes", "least"), [(3, 80), (20, 30), (80, 16)])
def test_all_pairs_of_classes_can_be_told_apart(classes, least):
    assert distances(range(1, classes + 1)).min() > least


def test_person_and_bicycle_differ():
    assert distances([15, 2]).min() > 30  # of VOC
    assert distances([1, 2]).min() > 80  # of COCO


def test_colors_are_visible_and_fixed():
    colors = distinct_colors()
    assert len({tuple(color) for color in colors.tolist()}) == 256
    assert (colors.max(axis=1).astype(int) - colors.min(axis=1) > 40).all()  # none is gray
    assert strong_color(0) == (255, 0, 0) == strong_color(256)
