"""The rules of the people of a pose data set, each written once.

Packing drops the flawed joints and people; ``litcv doctor`` lists them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.defects import Defect
from datamodules.joints import Skeleton, inside_image
from datamodules.pose.people import People

LARGEST_SIDE = 1e6  # pixels: larger crops come from damaged scales

Flags = NDArray[np.bool_]


class Flaws(NamedTuple):
    """The flawed joints and people.

    Attributes:
        not_finite: bool (N, K), labeled joints that are not finite.
        outside: bool (N, K), labeled joints that lie outside the image.
        without_joint: bool (N,), people without any labeled joint.
        without_center: bool (N,), people whose center is unknown.
        without_scale: bool (N,), people whose crop has no usable size.
    """

    not_finite: Flags
    outside: Flags
    without_joint: Flags
    without_center: Flags
    without_scale: Flags


def find_flaws(people: People, sizes: NDArray[Any]) -> Flaws:
    """Check people; centers and sizes of crops are checked only if they are annotated.

    Args:
        people: The N people as annotated.
        sizes: (N, 2), width and height of each person's image; infinite if unknown.
    """
    labeled = people.joints[..., 2] > 0
    finite = np.isfinite(people.joints[..., :2]).all(axis=2)
    outside = labeled & finite & ~inside_image(people.joints, sizes)
    fine = np.zeros(len(labeled), dtype=np.bool_)
    centers, sides = people.centers, people.sides
    return Flaws(
        labeled & ~finite,
        outside,
        np.all(~labeled, axis=1),
        fine if centers is None else np.any(~np.isfinite(centers), axis=1),
        fine if sides is None else ~usable_sides(sides),
    )


def usable_sides(sides: NDArray[np.float64]) -> Flags:
    """Return which sides of crops are usable, bool (N,); NaN is not."""
    with np.errstate(invalid="ignore"):
        return (sides > 0) & (sides < LARGEST_SIDE)


def people_defects(people: People, sizes: NDArray[Any], skeleton: Skeleton, source: Path) -> Iterator[Defect]:
    """Yield the joints and people that packing drops, named by the person's number in the split and the image.

    Args:
        people: The people of a split as annotated.
        sizes: As for :func:`find_flaws`.
        skeleton: Its joints.
        source: The annotation file.
    """
    flaws = find_flaws(people, sizes)
    for rows, kind, what in (
        (flaws.not_finite, "joint not finite", "is labeled but not finite, and dropped: fix it"),
        (flaws.outside, "joint outside the image", "lies outside the image and is dropped: fix it"),
        (flaws.without_joint, "person without joint", "has no labeled joint and is dropped: remove it"),
        (flaws.without_center, "person without center", "has no center and is dropped: fix or remove it"),
        (flaws.without_scale, "person without scale", "has no scale above 0 and is dropped: fix or remove it"),
    ):
        for person, *joint in np.argwhere(rows).tolist():
            of_joint = f"the {skeleton.joints[joint[0]]} of " if joint else ""
            part = f"{of_joint}person {person + 1} of the split, in {people.names[person]},"
            yield Defect.inside(source, part, what, kind)
